//! A small NBD client that sends exactly what a test wants.

use super::server::Server;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub const EXPORT_NAME: u32 = 1;
pub const LIST: u32 = 3;
pub const INFO: u32 = 6;
pub const GO: u32 = 7;
pub const STRUCTURED_REPLY: u32 = 8;
pub const SET_META_CONTEXT: u32 = 10;

pub const ACK: u32 = 1;
pub const REP_SERVER: u32 = 2;
pub const REP_INFO: u32 = 3;
pub const ERR_UNSUP: u32 = 1 << 31 | 1;
pub const ERR_INVALID: u32 = 1 << 31 | 3;
pub const ERR_UNKNOWN: u32 = 1 << 31 | 6;
pub const ERR_TOO_BIG: u32 = 1 << 31 | 9;

pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISC: u16 = 2;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const WRITE_ZEROES: u16 = 6;
pub const BLOCK_STATUS: u16 = 7;

pub const EPERM: u32 = 1;
pub const EIO: u32 = 5;
pub const EINVAL: u32 = 22;
pub const ENOSPC: u32 = 28;
pub const EOVERFLOW: u32 = 75;

/// A connection to a server.
pub struct Client {
    pub stream: TcpStream,
    cookie: u64,
}

/// A chunk of a structured reply: flags, type and payload.
pub type Chunk = (u16, u16, Vec<u8>);

impl Client {
    /// Connects, and begins the handshake as modern clients do.
    pub fn new(server: &Server) -> Self {
        let mut client = Self::silent(server);
        assert_eq!(client.take(18), b"NBDMAGICIHAVEOPT\0\x03");
        client.say(&3u32.to_be_bytes());
        client
    }

    /// Connects and sends nothing.
    pub fn silent(server: &Server) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        stream.set_nodelay(true).expect("set");
        Client { stream, cookie: 0 }
    }

    /// Opens an export; `structured` also asks for structured replies and `base:allocation`.
    pub fn opened(server: &Server, export: &str, structured: bool) -> Self {
        let mut client = Self::new(server);
        if structured {
            assert_eq!(client.option(STRUCTURED_REPLY, b""), [(ACK, vec![])]);
            let contexts = client.option(SET_META_CONTEXT, &contexts(export, &["base:allocation"]));
            assert_eq!(contexts[0].1, [&[0, 0, 0, 1], &b"base:allocation"[..]].concat());
        }
        let told = client.option(GO, &info(export, &[]));
        assert_eq!(told.last().map(|(kind, _)| *kind), Some(ACK), "{told:?}");
        client
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("received");
        bytes
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().expect("four"))
    }

    /// Whether the server has ended the connection.
    pub fn is_dropped(&mut self) -> bool {
        self.stream.read(&mut [0; 1]).is_ok_and(|count| count == 0)
    }

    /// Sends an option, and returns all replies, up to an acknowledgement or an error.
    pub fn option(&mut self, option: u32, data: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.say(b"IHAVEOPT");
        self.say(&[&option.to_be_bytes(), &(data.len() as u32).to_be_bytes(), data].concat());
        let mut answers = Vec::new();
        loop {
            assert_eq!(self.take(8), 0x0003_e889_0455_65a9u64.to_be_bytes());
            assert_eq!(self.u32(), option);
            let (kind, length) = (self.u32(), self.u32());
            answers.push((kind, self.take(length as usize)));
            if kind == ACK || kind >> 31 == 1 {
                return answers;
            }
        }
    }

    /// Sends a request, and returns its cookie.
    pub fn request(&mut self, flags: u16, command: u16, offset: u64, length: u32, data: &[u8]) -> u64 {
        self.cookie += 1;
        let head = [&0x2560_9513u32.to_be_bytes()[..], &flags.to_be_bytes(), &command.to_be_bytes()].concat();
        let rest =
            [&self.cookie.to_be_bytes()[..], &offset.to_be_bytes(), &length.to_be_bytes(), data].concat();
        self.say(&[head, rest].concat());
        self.cookie
    }

    /// Sends a request with a simple reply, and returns its error number.
    pub fn simple(&mut self, command: u16, offset: u64, length: u32, data: &[u8]) -> u32 {
        let cookie = self.request(0, command, offset, length, data);
        assert_eq!(self.u32(), 0x6744_6698);
        let error = self.u32();
        assert_eq!(self.take(8), cookie.to_be_bytes());
        error
    }

    /// Reads data by a simple reply.
    pub fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, u32> {
        match self.simple(READ, offset, length, b"") {
            0 => Ok(self.take(length as usize)),
            error => Err(error),
        }
    }

    /// Writes data, and returns the error number.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> u32 {
        self.simple(WRITE, offset, data.len() as u32, data)
    }

    /// Sends a request with a structured reply, and returns its chunks.
    pub fn structured(&mut self, flags: u16, command: u16, offset: u64, length: u32) -> Vec<Chunk> {
        let cookie = self.request(flags, command, offset, length, b"");
        let mut chunks = Vec::new();
        loop {
            assert_eq!(self.u32(), 0x668e_33ef);
            let kinds = self.take(4);
            assert_eq!(self.take(8), cookie.to_be_bytes());
            let length = self.u32();
            let payload = self.take(length as usize);
            let flags = u16::from_be_bytes([kinds[0], kinds[1]]);
            chunks.push((flags, u16::from_be_bytes([kinds[2], kinds[3]]), payload));
            if flags & 1 == 1 {
                return chunks;
            }
        }
    }

    /// Disconnects, and waits until the server has closed the connection.
    pub fn leave(mut self) {
        self.request(0, DISC, 0, 0, b"");
        assert!(self.is_dropped());
    }
}

/// The data of the options `INFO` and `GO`.
pub fn info(export: &str, kinds: &[u16]) -> Vec<u8> {
    let mut data = [&(export.len() as u32).to_be_bytes(), export.as_bytes()].concat();
    data.extend((kinds.len() as u16).to_be_bytes());
    data.extend(kinds.iter().flat_map(|kind| kind.to_be_bytes()));
    data
}

/// The data of the options about contexts.
pub fn contexts(export: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = [&(export.len() as u32).to_be_bytes(), export.as_bytes()].concat();
    data.extend((queries.len() as u32).to_be_bytes());
    for query in queries {
        data.extend([&(query.len() as u32).to_be_bytes(), query.as_bytes()].concat());
    }
    data
}

/// Copies the data of structured chunks into a buffer, and returns their errors with the offsets.
pub fn assembled(chunks: &[Chunk], offset: u64, buffer: &mut [u8]) -> Vec<(u32, u64)> {
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let mut errors = Vec::new();
    for (_, kind, payload) in chunks {
        match kind {
            0 => {}
            1 => {
                let at = (number(&payload[..8]) - offset) as usize;
                buffer[at..at + payload.len() - 8].copy_from_slice(&payload[8..]);
            }
            2 => {
                let at = (number(&payload[..8]) - offset) as usize;
                buffer[at..at + number(&payload[8..]) as usize].fill(0);
            }
            0x8001 => errors.push((number(&payload[..4]) as u32, u64::MAX)),
            0x8002 => {
                let text = number(&payload[4..6]) as usize;
                errors.push((number(&payload[..4]) as u32, number(&payload[6 + text..])));
            }
            other => panic!("chunk of type {other}"),
        }
    }
    errors
}

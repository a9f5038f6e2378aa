//! The numbers and messages of the NBD protocol: what stands on the wire, and nothing of what is done with it.
//!
//! Source: the protocol's specification, `doc/proto.md` of the NetworkBlockDevice/nbd project. Names are those that it
//! uses. All numbers are big-endian.

/// First words of the server: `NBDMAGIC` and `IHAVEOPT`.
pub const NBDMAGIC: u64 = 0x4e42_444d_4147_4943;
/// Also before each option of the client.
pub const IHAVEOPT: u64 = 0x4948_4156_454f_5054;
/// Before each answer to an option.
pub const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// Before each request.
pub const REQUEST_MAGIC: u32 = 0x2560_9513;
/// Before each simple reply.
pub const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// Before each chunk of a structured reply.
pub const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// Handshake flags, of the server and of the client.
pub const FLAG_FIXED_NEWSTYLE: u16 = 1 << 0;
/// No 124 zeros behind the answer to [`option::EXPORT_NAME`].
pub const FLAG_NO_ZEROES: u16 = 1 << 1;

/// `NBD_OPT_*`: what a client asks for during the handshake.
pub mod option {
    pub const EXPORT_NAME: u32 = 1;
    pub const ABORT: u32 = 2;
    pub const LIST: u32 = 3;
    pub const STARTTLS: u32 = 5;
    pub const INFO: u32 = 6;
    pub const GO: u32 = 7;
    pub const STRUCTURED_REPLY: u32 = 8;
    pub const LIST_META_CONTEXT: u32 = 9;
    pub const SET_META_CONTEXT: u32 = 10;
}

/// `NBD_REP_*`: answers to options.
pub mod reply {
    pub const ACK: u32 = 1;
    pub const SERVER: u32 = 2;
    pub const INFO: u32 = 3;
    pub const META_CONTEXT: u32 = 4;
    pub const ERR_UNSUP: u32 = 1 << 31 | 1;
    pub const ERR_INVALID: u32 = 1 << 31 | 3;
    pub const ERR_TLS_REQD: u32 = 1 << 31 | 5;
    pub const ERR_UNKNOWN: u32 = 1 << 31 | 6;
    pub const ERR_TOO_BIG: u32 = 1 << 31 | 9;
}

/// `NBD_INFO_*`: what is told of an export.
pub mod info {
    pub const EXPORT: u16 = 0;
    pub const NAME: u16 = 1;
    pub const DESCRIPTION: u16 = 2;
    pub const BLOCK_SIZE: u16 = 3;
}

/// `NBD_FLAG_*`: what an export can do.
pub mod transmission_flag {
    pub const HAS_FLAGS: u16 = 1 << 0;
    pub const READ_ONLY: u16 = 1 << 1;
    pub const SEND_FLUSH: u16 = 1 << 2;
    pub const SEND_FUA: u16 = 1 << 3;
    pub const SEND_TRIM: u16 = 1 << 5;
    pub const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub const SEND_DF: u16 = 1 << 7;
    pub const CAN_MULTI_CONN: u16 = 1 << 8;
}

/// `NBD_CMD_*`: requests.
pub mod command {
    pub const READ: u16 = 0;
    pub const WRITE: u16 = 1;
    pub const DISC: u16 = 2;
    pub const FLUSH: u16 = 3;
    pub const TRIM: u16 = 4;
    pub const WRITE_ZEROES: u16 = 6;
    pub const BLOCK_STATUS: u16 = 7;
}

/// `NBD_CMD_FLAG_*`: how requests are to be done.
pub mod command_flag {
    pub const FUA: u16 = 1 << 0;
    pub const NO_HOLE: u16 = 1 << 1;
    pub const DF: u16 = 1 << 2;
    pub const REQ_ONE: u16 = 1 << 3;
}

/// `NBD_REPLY_FLAG_DONE`: the last chunk of a reply.
pub const REPLY_FLAG_DONE: u16 = 1 << 0;

/// `NBD_REPLY_TYPE_*`: kinds of chunks.
pub mod chunk {
    pub const NONE: u16 = 0;
    pub const OFFSET_DATA: u16 = 1;
    pub const OFFSET_HOLE: u16 = 2;
    pub const BLOCK_STATUS: u16 = 5;
    pub const ERROR: u16 = 1 << 15 | 1;
    pub const ERROR_OFFSET: u16 = 1 << 15 | 2;
}

/// `NBD_STATE_*` of the context `base:allocation`: no space is allocated.
pub const STATE_HOLE: u32 = 1 << 0;
/// It reads as zeros.
pub const STATE_ZERO: u32 = 1 << 1;
/// The one metadata context that there is.
pub const BASE_ALLOCATION: &str = "base:allocation";
/// The number by which replies name it.
pub const BASE_ALLOCATION_ID: u32 = 1;

/// Most bytes that a request may read or write; what clients expect where nothing else was said.
pub const MAX_PAYLOAD: u32 = 32 << 20;
/// Most bytes of an option that are looked at: a name of an export has 4096 at most.
pub const MAX_OPTION: u32 = 64 << 10;
/// Most bytes of a name or message.
pub const MAX_STRING: usize = 4096;

/// `NBD_E*`: why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Errno {
    /// Writing to what is read-only.
    Perm = 1,
    /// Data that is bad or cannot be had.
    Io = 5,
    /// A request that makes no sense, or is beyond the end.
    Inval = 22,
    /// Writing behind the end, or no space for what is written.
    NoSpc = 28,
    /// More than can be had in one piece.
    Overflow = 75,
}

/// Bytes of a request, without what a write brings.
pub const REQUEST_SIZE: usize = 28;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// [`command_flag`].
    pub flags: u16,
    /// [`command`], or anything else.
    pub command: u16,
    /// Chosen by the client, to know the reply by.
    pub cookie: u64,
    /// Bytes from the beginning of the export.
    pub offset: u64,
    /// Bytes.
    pub length: u32,
}

impl Request {
    /// Reads it from the wire; `None` if that is no request.
    pub fn parse(wire: &[u8; REQUEST_SIZE]) -> Option<Self> {
        let mut fields = Fields(wire);
        if fields.u32()? != REQUEST_MAGIC {
            return None;
        }
        Some(Request {
            flags: fields.u16()?,
            command: fields.u16()?,
            cookie: fields.u64()?,
            offset: fields.u64()?,
            length: fields.u32()?,
        })
    }
}

/// Reads one field after the other; `None` where the message is too short.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// 16 bits.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// 32 bits.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// 64 bits.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text with its length before it.
    pub fn string(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.u32()?).ok()?;
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A message that is being put together.
#[derive(Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    /// Adds 16 bits.
    pub fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Adds 32 bits.
    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Adds 64 bits.
    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Adds bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

/// An answer to an option.
pub fn option_reply(option: u32, reply: u32, data: &[u8]) -> Vec<u8> {
    let head = Message::default().u64(OPTION_REPLY_MAGIC).u32(option).u32(reply);
    head.u32(data.len() as u32).bytes(data).0
}

/// A simple reply, without the data that a successful read adds.
pub fn simple_reply(cookie: u64, error: Option<Errno>) -> Vec<u8> {
    Message::default().u32(SIMPLE_REPLY_MAGIC).u32(error.map_or(0, |e| e as u32)).u64(cookie).0
}

/// The head of a chunk whose payload has `length` bytes.
pub fn chunk_head(cookie: u64, flags: u16, kind: u16, length: u32) -> Message {
    Message::default().u32(STRUCTURED_REPLY_MAGIC).u16(flags).u16(kind).u64(cookie).u32(length)
}

/// The beginning of a text, of `most` bytes at most, without a torn character.
pub fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The last chunk of a reply that failed, with a text for people; at `offset`, if that is known.
pub fn error_chunk(cookie: u64, error: Errno, text: &str, offset: Option<u64>) -> Vec<u8> {
    let text = cut(text, MAX_STRING / 4);
    let kind = if offset.is_some() { chunk::ERROR_OFFSET } else { chunk::ERROR };
    let length = 6 + text.len() + if offset.is_some() { 8 } else { 0 };
    let chunk = chunk_head(cookie, REPLY_FLAG_DONE, kind, length as u32);
    let chunk = chunk.u32(error as u32).u16(text.len() as u16).bytes(text.as_bytes());
    match offset {
        Some(offset) => chunk.u64(offset).0,
        None => chunk.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_that_the_numbers_spell() {
        assert_eq!(NBDMAGIC.to_be_bytes(), *b"NBDMAGIC");
        assert_eq!(IHAVEOPT.to_be_bytes(), *b"IHAVEOPT");
    }

    #[test]
    fn requests_are_read_as_they_stand_on_the_wire() {
        let wire = Message::default().u32(REQUEST_MAGIC).u16(1).u16(7).u64(3).u64(1 << 40).u32(5).0;
        let mut wire: [u8; REQUEST_SIZE] = wire.try_into().expect("its size");
        let request = Request { flags: 1, command: 7, cookie: 3, offset: 1 << 40, length: 5 };
        assert_eq!(Request::parse(&wire), Some(request));
        wire[3] ^= 1;
        assert_eq!(Request::parse(&wire), None);
    }

    #[test]
    fn what_is_too_short_is_no_field() {
        let mut fields = Fields(&[0, 0, 0, 3, b'a', b'b']);
        assert_eq!(fields.string(), None);
        let mut fields = Fields(&[0, 0, 0, 2, b'a', b'b', 9]);
        assert_eq!((fields.string(), fields.is_empty(), fields.u16()), (Some("ab"), false, None));
        assert_eq!(Fields(&[0xff; 12]).string(), None);
    }

    #[test]
    fn texts_of_errors_are_cut_between_characters() {
        let long = "ü".repeat(5000);
        let chunk = error_chunk(7, Errno::Io, &long, Some(4096));
        let length = u16::from_be_bytes([chunk[24], chunk[25]]) as usize;
        assert_eq!((length, chunk.len()), (1024, 20 + 6 + 1024 + 8));
        assert!(std::str::from_utf8(&chunk[26..26 + length]).is_ok());
    }
}

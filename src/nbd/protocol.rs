//! The numbers and messages of the NBD protocol, and how they are encoded. It performs no requests.
//!
//! Source: the protocol's specification, `doc/proto.md` of the NetworkBlockDevice/nbd project, with the names that it
//! uses. All numbers are big-endian.

/// The server's first words are `NBDMAGIC` and `IHAVEOPT`.
pub(super) const NBDMAGIC: u64 = 0x4e42_444d_4147_4943;
/// Also precedes each option of the client.
pub(super) const IHAVEOPT: u64 = 0x4948_4156_454f_5054;
/// Precedes each reply to an option.
pub(super) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// Precedes each request.
pub(super) const REQUEST_MAGIC: u32 = 0x2560_9513;
/// Precedes each simple reply.
pub(super) const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// Precedes each chunk of a structured reply.
pub(super) const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// Handshake flags, of the server and of the client.
pub(super) const FLAG_FIXED_NEWSTYLE: u16 = 1 << 0;
/// The reply to [`option::EXPORT_NAME`] is not followed by 124 zeros.
pub(super) const FLAG_NO_ZEROES: u16 = 1 << 1;

/// `NBD_OPT_*`: the client's options during the handshake.
pub(super) mod option {
    pub(crate) const EXPORT_NAME: u32 = 1;
    pub(crate) const ABORT: u32 = 2;
    pub(crate) const LIST: u32 = 3;
    pub(crate) const STARTTLS: u32 = 5;
    pub(crate) const INFO: u32 = 6;
    pub(crate) const GO: u32 = 7;
    pub(crate) const STRUCTURED_REPLY: u32 = 8;
    pub(crate) const LIST_META_CONTEXT: u32 = 9;
    pub(crate) const SET_META_CONTEXT: u32 = 10;
}

/// `NBD_REP_*`: replies to options.
pub(super) mod reply {
    pub(crate) const ACK: u32 = 1;
    pub(crate) const SERVER: u32 = 2;
    pub(crate) const INFO: u32 = 3;
    pub(crate) const META_CONTEXT: u32 = 4;
    pub(crate) const ERR_UNSUP: u32 = 1 << 31 | 1;
    pub(crate) const ERR_INVALID: u32 = 1 << 31 | 3;
    pub(crate) const ERR_TLS_REQD: u32 = 1 << 31 | 5;
    pub(crate) const ERR_UNKNOWN: u32 = 1 << 31 | 6;
    pub(crate) const ERR_TOO_BIG: u32 = 1 << 31 | 9;
}

/// `NBD_INFO_*`: kinds of information about an export.
pub(super) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const DESCRIPTION: u16 = 2;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

/// `NBD_FLAG_*`: the abilities of an export.
pub(super) mod transmission_flag {
    pub(crate) const HAS_FLAGS: u16 = 1 << 0;
    pub(crate) const READ_ONLY: u16 = 1 << 1;
    pub(crate) const SEND_FLUSH: u16 = 1 << 2;
    pub(crate) const SEND_FUA: u16 = 1 << 3;
    pub(crate) const SEND_TRIM: u16 = 1 << 5;
    pub(crate) const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub(crate) const SEND_DF: u16 = 1 << 7;
    pub(crate) const CAN_MULTI_CONN: u16 = 1 << 8;
}

/// `NBD_CMD_*`: requests.
pub(super) mod command {
    pub(crate) const READ: u16 = 0;
    pub(crate) const WRITE: u16 = 1;
    pub(crate) const DISC: u16 = 2;
    pub(crate) const FLUSH: u16 = 3;
    pub(crate) const TRIM: u16 = 4;
    pub(crate) const WRITE_ZEROES: u16 = 6;
    pub(crate) const BLOCK_STATUS: u16 = 7;
}

/// `NBD_CMD_FLAG_*`: flags of requests.
pub(super) mod command_flag {
    pub(crate) const FUA: u16 = 1 << 0;
    pub(crate) const NO_HOLE: u16 = 1 << 1;
    pub(crate) const DF: u16 = 1 << 2;
    pub(crate) const REQ_ONE: u16 = 1 << 3;
}

/// `NBD_REPLY_FLAG_DONE`: the last chunk of a reply.
pub(super) const REPLY_FLAG_DONE: u16 = 1 << 0;

/// `NBD_REPLY_TYPE_*`: kinds of chunks.
pub(super) mod chunk {
    pub(crate) const NONE: u16 = 0;
    pub(crate) const OFFSET_DATA: u16 = 1;
    pub(crate) const OFFSET_HOLE: u16 = 2;
    pub(crate) const BLOCK_STATUS: u16 = 5;
    pub(crate) const ERROR: u16 = 1 << 15 | 1;
    pub(crate) const ERROR_OFFSET: u16 = 1 << 15 | 2;
}

/// `NBD_STATE_*` of the context `base:allocation`: no space is allocated.
pub(super) const STATE_HOLE: u32 = 1 << 0;
/// `NBD_STATE_*` of the context `base:allocation`: the range reads as zeros.
pub(super) const STATE_ZERO: u32 = 1 << 1;
/// The only metadata context that the server offers.
pub(super) const BASE_ALLOCATION: &str = "base:allocation";
/// The id of that context in replies.
pub(super) const BASE_ALLOCATION_ID: u32 = 1;

/// The most bytes that a request may read or write. Clients assume this limit if the server names no other.
pub(super) const MAX_PAYLOAD: u32 = 32 << 20;
/// The most bytes of an option's data that the server accepts: an export name has at most 4096.
pub(super) const MAX_OPTION: u32 = 64 << 10;
/// The most bytes of a name or message.
pub(super) const MAX_STRING: usize = 4096;

/// `NBD_E*`: why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Errno {
    /// A write to a read-only export.
    Perm = 1,
    /// The data is bad or cannot be read.
    Io = 5,
    /// The request makes no sense, or reads beyond the end.
    Inval = 22,
    /// A write beyond the end, or no space for the data.
    NoSpc = 28,
    /// More data than a reply can hold in one piece.
    Overflow = 75,
}

/// Bytes of a request, without the data of a write.
pub(super) const REQUEST_SIZE: usize = 28;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Bits of [`command_flag`].
    pub flags: u16,
    /// A number of [`command`], or an unknown one.
    pub command: u16,
    /// Chosen by the client to match the reply to the request.
    pub cookie: u64,
    /// Offset in the export, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u32,
}

impl Request {
    /// Parses a request; `None` if the magic number is wrong.
    pub(super) fn parse(wire: &[u8; REQUEST_SIZE]) -> Option<Self> {
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

/// Reads one field after the other; a method returns `None` if the message is too short.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// 16 bits.
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// 32 bits.
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// 64 bits.
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text that follows its length.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.u32()?).ok()?;
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    /// Whether all bytes have been read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Builds a message, field by field.
#[derive(Default)]
pub(super) struct Message(pub Vec<u8>);

impl Message {
    /// Adds 16 bits.
    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Adds 32 bits.
    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Adds 64 bits.
    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Adds bytes.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

/// A reply to an option.
pub(super) fn option_reply(option: u32, reply: u32, data: &[u8]) -> Vec<u8> {
    let head = Message::default().u64(OPTION_REPLY_MAGIC).u32(option).u32(reply);
    head.u32(data.len() as u32).bytes(data).0
}

/// A simple reply, without the data that follows if a read succeeds.
pub(super) fn simple_reply(cookie: u64, error: Option<Errno>) -> Vec<u8> {
    Message::default().u32(SIMPLE_REPLY_MAGIC).u32(error.map_or(0, |e| e as u32)).u64(cookie).0
}

/// The header of a chunk whose payload has `length` bytes.
pub(super) fn chunk_head(cookie: u64, flags: u16, kind: u16, length: u32) -> Message {
    Message::default().u32(STRUCTURED_REPLY_MAGIC).u16(flags).u16(kind).u64(cookie).u32(length)
}

/// The beginning of a text, at most `most` bytes, cut between characters.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The last chunk of a failed reply, with a text for people and the `offset` of the failure, if it is known.
pub(super) fn error_chunk(cookie: u64, error: Errno, text: &str, offset: Option<u64>) -> Vec<u8> {
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
    fn requests_are_decoded() {
        let wire = Message::default().u32(REQUEST_MAGIC).u16(1).u16(7).u64(3).u64(1 << 40).u32(5).0;
        let mut wire: [u8; REQUEST_SIZE] = wire.try_into().expect("its size");
        let request = Request { flags: 1, command: 7, cookie: 3, offset: 1 << 40, length: 5 };
        assert_eq!(Request::parse(&wire), Some(request));
        wire[3] ^= 1;
        assert_eq!(Request::parse(&wire), None);
    }

    #[test]
    fn fields_that_are_cut_off_are_none() {
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

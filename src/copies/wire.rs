//! The parts that both formats are made of: numbers, texts and dates as bytes.
//!
//! Numbers without sign are in LEB128: seven bits in each byte, the lowest first, and the highest bit says that another
//! byte follows. Numbers with sign are first mapped to those without: 0, -1, 1, -2, … become 0, 1, 2, 3, ….

use super::CopyError;
use crate::sys::memory;
use crate::types::hex::{from_hex, to_hex};
use crate::types::time::Timestamp;
use chrono::DateTime;
use zeroize::Zeroizing;

/// The first byte of both formats.
const FORMAT: u8 = 1;
/// Bytes of the longest number.
pub(super) const LONGEST: usize = 10;

/// Collects bytes.
pub(super) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    /// With the first byte, and room for `bytes` more. Copies that a growing buffer leaves behind are not cleared, so
    /// the room must be enough for secrets.
    pub(super) fn new(bytes: usize) -> Self {
        let mut writer = Writer(Zeroizing::new(Vec::with_capacity(bytes.saturating_add(1))));
        writer.byte(FORMAT);
        writer
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Bytes without their number: the reader knows it.
    pub(super) fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    pub(super) fn signed(&mut self, value: i64) {
        self.number((value << 1 ^ value >> 63) as u64);
    }

    /// The difference of `value` to `before`, which becomes `value`. It wraps around where it has more than 64 bits.
    pub(super) fn difference(&mut self, before: &mut i64, value: i64) {
        self.signed(value.wrapping_sub(*before));
        *before = value;
    }

    /// Bytes after their number.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.fixed(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn date(&mut self, date: Timestamp) {
        self.signed(microseconds(date));
    }

    pub(super) fn packed(&mut self, packed: &Packed) {
        match packed {
            Packed::Nothing => (),
            Packed::Hex(bytes) => self.bytes(bytes),
            Packed::Text(text) => self.text(text),
        }
    }

    pub(super) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// Takes bytes apart.
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// Reads the first byte.
    pub(super) fn new(bytes: &'b [u8]) -> Result<Self, CopyError> {
        let mut reader = Reader(bytes);
        match reader.byte()? {
            FORMAT => Ok(reader),
            0 => Err(CopyError::Malformed("format")),
            newer => Err(CopyError::Newer(newer)),
        }
    }

    /// The next `length` bytes.
    fn take(&mut self, length: usize) -> Result<&'b [u8], CopyError> {
        let (taken, left) = self.0.split_at_checked(length).ok_or(CopyError::Truncated)?;
        self.0 = left;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, CopyError> {
        let (first, left) = self.0.split_first().ok_or(CopyError::Truncated)?;
        self.0 = left;
        Ok(*first)
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], CopyError> {
        self.take(N)?.try_into().map_err(|_| CopyError::Truncated)
    }

    pub(super) fn number(&mut self) -> Result<u64, CopyError> {
        let mut value = 0;
        for shift in (0..).step_by(7).take(LONGEST) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // The last byte of a longer number is not 0, and the tenth has one bit.
                let is_shortest = (byte != 0 || shift == 0) && (shift < 63 || byte == 1);
                return if is_shortest { Ok(value) } else { Err(CopyError::Malformed("number")) };
            }
        }
        Err(CopyError::Malformed("number"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, CopyError> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The reverse of [`Writer::difference`].
    pub(super) fn difference(&mut self, before: &mut i64) -> Result<i64, CopyError> {
        *before = before.wrapping_add(self.signed()?);
        Ok(*before)
    }

    /// A number that has at most 32 bits.
    pub(super) fn small(&mut self, part: &'static str) -> Result<u32, CopyError> {
        u32::try_from(self.number()?).map_err(|_| CopyError::Malformed(part))
    }

    /// The number of items that follow, each of at least `least` bytes (not 0), and an empty list with room for them.
    pub(super) fn list<T>(&mut self, least: usize) -> Result<(usize, Vec<T>), CopyError> {
        let count = usize::try_from(self.number()?).map_err(|_| CopyError::Truncated)?;
        if count > self.0.len() / least {
            return Err(CopyError::Truncated);
        }
        let mut list = Vec::new();
        memory::reserve(&mut list, count).map_err(|_| CopyError::Memory(count))?;
        Ok((count, list))
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], CopyError> {
        let length = usize::try_from(self.number()?).map_err(|_| CopyError::Truncated)?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'b str, CopyError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CopyError::Malformed("text"))
    }

    pub(super) fn date(&mut self) -> Result<Timestamp, CopyError> {
        from_microseconds(self.signed()?)
    }

    /// A text of the kind that [`Packed::kind`] names.
    pub(super) fn packed(&mut self, kind: u8, part: &'static str) -> Result<Option<String>, CopyError> {
        match kind {
            0 => Ok(None),
            1 => Ok(Some(to_hex(self.bytes()?))),
            2 => match Packed::of(Some(self.text()?)) {
                Packed::Text(text) => Ok(Some(text.to_owned())),
                _ => Err(CopyError::Malformed(part)),
            },
            _ => Err(CopyError::Malformed(part)),
        }
    }

    /// Makes sure that nothing is left.
    pub(super) fn finish(self) -> Result<(), CopyError> {
        if self.0.is_empty() { Ok(()) } else { Err(CopyError::TooLong(self.0.len())) }
    }
}

/// Microseconds since 1970. All dates of chrono fit.
pub(super) fn microseconds(date: Timestamp) -> i64 {
    date.naive().and_utc().timestamp_micros()
}

pub(super) fn from_microseconds(value: i64) -> Result<Timestamp, CopyError> {
    let date = DateTime::from_timestamp_micros(value).ok_or(CopyError::Malformed("date"))?;
    Ok(Timestamp::from_naive(date.naive_utc()))
}

/// A text in the shorter of two forms. It is usually a digest, a key or a nonce.
pub(super) enum Packed<'t> {
    /// There is none, which differs from an empty one.
    Nothing,
    /// It consists of pairs of lower-case hex digits. These are their values.
    Hex(Vec<u8>),
    /// Anything else.
    Text(&'t str),
}

impl<'t> Packed<'t> {
    pub(super) fn of(text: Option<&'t str>) -> Self {
        let Some(text) = text else { return Packed::Nothing };
        match from_hex(text) {
            Some(bytes) if !text.bytes().any(|c| c.is_ascii_uppercase()) => Packed::Hex(bytes),
            _ => Packed::Text(text),
        }
    }

    /// Two bits.
    pub(super) fn kind(&self) -> u8 {
        match self {
            Packed::Nothing => 0,
            Packed::Hex(_) => 1,
            Packed::Text(_) => 2,
        }
    }
}

/// Row keys in ascending order: the first one, then the differences, less 1.
#[derive(Default)]
pub(super) struct Ascending(Option<i64>);

impl Ascending {
    /// `key` is above the one before.
    pub(super) fn write(&mut self, to: &mut Writer, key: i64) {
        match self.0 {
            None => to.signed(key),
            // The difference of two numbers with 64 bits and a sign has 64 bits without one.
            Some(before) => to.number(key.wrapping_sub(before).wrapping_sub(1) as u64),
        }
        self.0 = Some(key);
    }

    pub(super) fn read(&mut self, from: &mut Reader, part: &'static str) -> Result<i64, CopyError> {
        let key = match self.0 {
            None => from.signed()?,
            Some(before) => {
                let more = from.number()?;
                let next = before.checked_add(1).and_then(|next| next.checked_add_unsigned(more));
                next.ok_or(CopyError::Malformed(part))?
            }
        };
        self.0 = Some(key);
        Ok(key)
    }
}

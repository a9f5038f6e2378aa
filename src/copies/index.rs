//! Lists of blobs.

use super::CopyError;
use super::wire::{Ascending, LONGEST, Packed, Reader, Writer, from_microseconds, microseconds};
use crate::types::checksum::Checksum;
use crate::types::keys::BlobId;
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use std::fmt;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Bytes that a blob has at least: its kinds, row key, uid, size, encryption version and date.
const LEAST: usize = 6;

/// The row of a stored blob, apart from whether it is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedBlob {
    /// The key of the blob's row.
    pub id: BlobId,
    /// The blob's name in the store.
    pub uid: BlobUid,
    /// Checksum of the plain data, if the row has one.
    pub checksum: Option<Checksum>,
    /// Plain size in bytes. A damaged row may contain any number.
    pub size: i64,
    /// Encryption version of the blob.
    pub enc_version: u32,
    /// The data key.
    pub key: CopiedKey,
    /// The copy of the nonce in the row, usually hex digits.
    pub nonce: Option<String>,
    /// When the blob was stored. Fractions of a microsecond are lost.
    pub date: Timestamp,
}

/// The data key of a blob.
#[derive(Clone, PartialEq, Eq)]
pub enum CopiedKey {
    /// The row has none.
    None,
    /// The key itself. It is as secret as the data, so the encoding must be encrypted before it leaves the program.
    Plain(Zeroizing<[u8; 32]>),
    /// The wrapped key as the row has it, for a key that the master key does not open, or that it would wrap into
    /// another text.
    Wrapped(String),
}

/// Without the key.
impl fmt::Debug for CopiedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CopiedKey::None => f.write_str("None"),
            CopiedKey::Plain(_) => f.write_str("Plain(…)"),
            CopiedKey::Wrapped(text) => f.debug_tuple("Wrapped").field(text).finish(),
        }
    }
}

/// The first byte of a blob says in which form its texts are.
struct Kinds(u8);

impl Kinds {
    const UID_IS_TEXT: u8 = 1;
    const PLAIN_KEY: u8 = 3;

    fn new(uid_is_text: bool, checksum: u8, key: u8, nonce: u8) -> Self {
        Kinds(u8::from(uid_is_text) | checksum << 1 | key << 3 | nonce << 5)
    }

    fn read(from: &mut Reader) -> Result<Self, CopyError> {
        match from.byte()? {
            byte if byte < 0x80 => Ok(Kinds(byte)),
            _ => Err(CopyError::Malformed("kinds of text")),
        }
    }

    fn uid_is_text(&self) -> bool {
        self.0 & Self::UID_IS_TEXT != 0
    }

    fn checksum(&self) -> u8 {
        self.0 >> 1 & 3
    }

    fn key(&self) -> u8 {
        self.0 >> 3 & 3
    }

    fn nonce(&self) -> u8 {
        self.0 >> 5 & 3
    }
}

/// The numbers of the blob before, from which those of the next one differ little.
#[derive(Default)]
struct Before {
    ids: Ascending,
    size: i64,
    date: i64,
}

/// The bytes for `blobs`, which ascend by row key.
///
/// # Errors
/// [`CopyError::Order`]: the row keys do not ascend.
pub fn encode_index(blobs: &[CopiedBlob]) -> Result<Zeroizing<Vec<u8>>, CopyError> {
    if !blobs.is_sorted_by(|one, next| one.id < next.id) {
        return Err(CopyError::Order("row keys"));
    }
    let mut to = Writer::new(LONGEST + blobs.iter().map(CopiedBlob::most).sum::<usize>());
    to.number(blobs.len() as u64);
    let mut before = Before::default();
    for blob in blobs {
        blob.write(&mut to, &mut before);
    }
    Ok(to.finish())
}

/// The blobs that [`encode_index`] has encoded as `bytes`.
///
/// # Errors
/// Any [`CopyError`] except [`CopyError::Order`].
pub fn decode_index(bytes: &[u8]) -> Result<Vec<CopiedBlob>, CopyError> {
    let mut from = Reader::new(bytes)?;
    let (count, mut blobs) = from.list(LEAST)?;
    let mut before = Before::default();
    for _ in 0..count {
        blobs.push(CopiedBlob::read(&mut from, &mut before)?);
    }
    from.finish()?;
    Ok(blobs)
}

impl CopiedBlob {
    /// The bytes that its encoding has at most.
    pub(super) fn most(&self) -> usize {
        let checksum = self.checksum.as_ref().map_or(0, |checksum| checksum.as_str().len());
        let key = if let CopiedKey::Wrapped(text) = &self.key { text.len() } else { 32 };
        let nonce = self.nonce.as_ref().map_or(0, String::len);
        // A uid becomes 16 bytes at most, or is text. Four texts have a length, and there are four numbers.
        1 + 8 * LONGEST + self.uid.as_str().len().max(16) + checksum + key + nonce
    }

    fn write(&self, to: &mut Writer, before: &mut Before) {
        let uuid = self.uid.uuid();
        let checksum = Packed::of(self.checksum.as_ref().map(Checksum::as_str));
        let nonce = Packed::of(self.nonce.as_deref());
        let wrapped = match &self.key {
            CopiedKey::Wrapped(text) => Packed::of(Some(text)),
            _ => Packed::Nothing,
        };
        let key = match &self.key {
            CopiedKey::Plain(_) => Kinds::PLAIN_KEY,
            _ => wrapped.kind(),
        };
        to.byte(Kinds::new(uuid.is_none(), checksum.kind(), key, nonce.kind()).0);
        before.ids.write(to, self.id.0);
        match uuid {
            Some(uuid) => to.fixed(uuid.as_bytes()),
            None => to.text(self.uid.as_str()),
        }
        to.packed(&checksum);
        to.difference(&mut before.size, self.size);
        to.number(u64::from(self.enc_version));
        match &self.key {
            CopiedKey::Plain(key) => to.fixed(&**key),
            _ => to.packed(&wrapped),
        }
        to.packed(&nonce);
        to.difference(&mut before.date, microseconds(self.date));
    }

    fn read(from: &mut Reader, before: &mut Before) -> Result<Self, CopyError> {
        let kinds = Kinds::read(from)?;
        let id = BlobId(before.ids.read(from, "row keys")?);
        let uid = if kinds.uid_is_text() {
            let uid = BlobUid::from(from.text()?);
            if uid.uuid().is_some() {
                return Err(CopyError::Malformed("uid"));
            }
            uid
        } else {
            BlobUid::of(Uuid::from_bytes(from.fixed()?))
        };
        let checksum = from.packed(kinds.checksum(), "checksum")?.map(Checksum::from);
        let size = from.difference(&mut before.size)?;
        let enc_version = from.small("encryption version")?;
        let key = match kinds.key() {
            Kinds::PLAIN_KEY => CopiedKey::Plain(Zeroizing::new(from.fixed()?)),
            kind => from.packed(kind, "key")?.map_or(CopiedKey::None, CopiedKey::Wrapped),
        };
        let nonce = from.packed(kinds.nonce(), "nonce")?;
        let date = from_microseconds(from.difference(&mut before.date)?)?;
        Ok(CopiedBlob { id, uid, checksum, size, enc_version, key, nonce, date })
    }
}

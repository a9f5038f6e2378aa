//! Copies of the metadata as bytes, made to be stored as objects beside the blobs.
//!
//! There are two formats: [`encode_index`] makes a list of blobs, and [`CopiedVersion::encode`] the metadata of one
//! version with its block map. Both are compact, and each value has exactly one encoding. Everything that a database
//! can hold survives unchanged, also text that this program would not write.
//!
//! Decoders are total. They take any bytes and answer with the value or a [`CopyError`]. They ask for memory only in
//! proportion to the bytes that are there, whatever the bytes claim. Encryption, compression and authentication are
//! the business of [`crate::crypt`].
//!
//! [`RowSum`] is a digest of the rows of a version that can be brought up to date row by row.

mod block_map;
mod difference;
mod index;
mod row_sum;
mod version;
mod wire;

pub use block_map::{BlockMap, Extent};
pub use index::{CopiedBlob, CopiedKey, decode_index, encode_index};
pub use row_sum::{RowSum, SummedRow};
pub use version::{CopiedRun, CopiedVersion};

/// Why a value cannot be encoded, or bytes cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The first byte is that of a later format.
    #[error("a newer release of backy2 has written it (format {0})")]
    Newer(u8),
    /// The bytes end too early, or a length or a number of items is larger than the rest of the bytes.
    #[error("it ends too early")]
    Truncated,
    /// There are bytes behind the end.
    #[error("it has {0} bytes too many")]
    TooLong(usize),
    /// This part is impossible or not in its one form.
    #[error("its {0} cannot be read")]
    Malformed(&'static str),
    /// These blocks or blobs are not in ascending order, or a number is out of range.
    #[error("its {0} are not in order")]
    Order(&'static str),
    /// There is not enough memory for this many items. The bytes may be good.
    #[error("there is no memory for its {0} items")]
    Memory(usize),
}

#[cfg(test)]
mod tests;

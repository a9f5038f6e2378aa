//! Blocks, and the blobs that hold their data.

use super::checksum::Checksum;
use super::keys::BlobId;
use super::uid::BlobUid;
use std::ops::Range;

/// How an image of `size_bytes` bytes is divided into blocks of `block_size` bytes.
///
/// Blocks are numbered from 0. Block `id` starts at byte `id * block_size`. The last block may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    size_bytes: u64,
    block_size: u32,
}

impl Geometry {
    /// `block_size` is in bytes and must not be 0. The configuration refuses 0.
    pub fn new(size_bytes: u64, block_size: u32) -> Self {
        assert!(block_size > 0, "a block has at least one byte");
        Geometry { size_bytes, block_size }
    }

    /// Size of the image in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Size of every block except the last, in bytes.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Number of blocks.
    pub fn blocks(&self) -> u64 {
        self.size_bytes.div_ceil(u64::from(self.block_size))
    }

    /// The start of block `id`, in bytes.
    pub fn offset(&self, id: u64) -> u64 {
        id.saturating_mul(u64::from(self.block_size))
    }

    /// Length of block `id` in bytes; 0 if the block is beyond the end.
    pub fn length(&self, id: u64) -> usize {
        let left = self.size_bytes.saturating_sub(self.offset(id));
        left.min(u64::from(self.block_size)) as usize
    }

    /// Number of bytes in the blocks of `ids`.
    pub fn bytes(&self, ids: &Range<u64>) -> u64 {
        let end = self.offset(ids.end).min(self.size_bytes);
        end.saturating_sub(self.offset(ids.start))
    }
}

/// The encryption of a blob, according to the metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encryption {
    /// 0: not encrypted; 1: zstd, AES-256-GCM, wrapped key (see [`crate::crypt`]).
    pub version: u32,
    /// The data key, wrapped with the master key, in hex (80 characters); `None` for version 0.
    pub envkey: Option<String>,
    /// The nonce in hex (32 characters), a copy of the nonce in the blob; `None` for version 0.
    pub nonce: Option<String>,
}

/// The metadata of a stored blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The key of the blob's row.
    pub id: BlobId,
    /// The blob's name in the store.
    pub uid: BlobUid,
    /// Checksum of the plain data; `None` if an old row has no checksum.
    pub checksum: Option<Checksum>,
    /// Plain size in bytes. A damaged row may contain any number.
    pub size: i64,
    /// False after the data was found to be bad.
    pub valid: bool,
    /// The parameters for decryption.
    pub encryption: Encryption,
}

/// One block of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// Number of the block in its version, counted from 0.
    pub id: u64,
    /// The blob that holds the data, or `None` for a sparse block.
    pub blob: Option<Blob>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_may_be_shorter() {
        let g = Geometry::new(10, 4);
        assert_eq!(g.blocks(), 3);
        assert_eq!((g.length(0), g.length(2), g.length(3)), (4, 2, 0));
        assert_eq!(g.bytes(&(1..3)), 6);
        assert_eq!(g.bytes(&(3..9)), 0);
        assert_eq!(Geometry::new(0, 4).blocks(), 0);
        assert_eq!(Geometry::new(8, 4).blocks(), 2);
    }
}

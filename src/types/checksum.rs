//! Checksums of blocks: those that this program computes, and those that the metadata records.

use super::hex::to_hex;
use super::verbatim::verbatim;
use std::fmt;

/// The digest of a block's plain data, computed with the configured hash function (16 to 64 bytes).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    bytes: [u8; 64],
    len: u8,
}

impl Digest {
    /// Takes the first 64 bytes of `digest`. No supported hash function returns more.
    pub fn new(digest: &[u8]) -> Self {
        let len = digest.len().min(64);
        let mut bytes = [0; 64];
        bytes[..len].copy_from_slice(&digest[..len]);
        Digest { bytes, len: len as u8 }
    }

    /// The digest as lower-case hex digits.
    pub fn hex(&self) -> String {
        to_hex(&self.bytes[..usize::from(self.len)])
    }

    /// Whether `recorded` is exactly this digest in lower-case hex. Upper-case digits do not match.
    pub fn is(&self, recorded: &Checksum) -> bool {
        self.hex() == recorded.as_str()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

verbatim! {
    /// A checksum as a database or a dump records it: usually a digest in hex, but other programs or damage may have
    /// left any text there.
    Checksum
}

impl From<Digest> for Checksum {
    fn from(digest: Digest) -> Self {
        Checksum::from(digest.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_checksum_is_compared_to_the_letter() {
        let digest = Digest::new(&[0xab, 1]);
        assert!(digest.is(&Checksum::from("ab01")));
        for other in ["AB01", "ab01 ", "ab", ""] {
            assert!(!digest.is(&Checksum::from(other)), "{other:?}");
        }
        assert_eq!(Checksum::from(digest), Checksum::from("ab01"));
    }
}

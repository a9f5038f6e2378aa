//! `null://`: a source of generated data, and a target that discards data.

use super::{Source, Target, Zeroing};
use crate::types::error::{Error, Result};
use crate::types::generated::generated_from;
use std::ops::Range;

/// Generated data: each block holds its number and blanks. See [`crate::types::generated::generated`].
pub(crate) struct NullSource {
    url: String,
    size: u64,
    block_size: u64,
}

impl NullSource {
    /// A source of `size` bytes, generated in blocks of `block_size` bytes (at least 1).
    pub(crate) fn new(url: &str, size: u64, block_size: u32) -> Self {
        NullSource { url: url.to_owned(), size, block_size: u64::from(block_size.max(1)) }
    }
}

impl Source for NullSource {
    fn url(&self) -> &str {
        &self.url
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            let message =
                format!("it ends at {}, so {} bytes at {offset} cannot be read", self.size, buf.len());
            return Err(Error::Source { url: self.url.clone(), reason: message.into() });
        }
        let mut id = offset / self.block_size;
        let mut skip = offset % self.block_size;
        while !buf.is_empty() {
            let left = usize::try_from(self.block_size - skip).unwrap_or(usize::MAX);
            let (block, rest) = buf.split_at_mut(left.min(buf.len()));
            generated_from(id, skip, block);
            buf = rest;
            id += 1;
            skip = 0;
        }
        Ok(())
    }
}

/// Discards all data.
pub(crate) struct NullTarget {
    url: String,
}

impl NullTarget {
    /// A target of unlimited size.
    pub(crate) fn new(url: &str) -> Self {
        NullTarget { url: url.to_owned() }
    }
}

impl Target for NullTarget {
    fn url(&self) -> &str {
        &self.url
    }

    fn write_at(&self, _offset: u64, _data: &[u8]) -> Result<()> {
        Ok(())
    }

    fn zero(&self, _range: Range<u64>, _zeroing: Zeroing) -> Result<bool> {
        Ok(true)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::generated::generated;

    #[test]
    fn blocks_are_generated_wherever_they_are_cut() {
        let source = NullSource::new("null://100", 100, 30);
        let mut expected = Vec::new();
        for (id, length) in [(0, 30), (1, 30), (2, 30), (3, 10)] {
            let mut block = vec![0; length];
            generated(id, &mut block);
            expected.extend(block);
        }
        for start in 0..=100 {
            let mut buf = vec![0; 100 - start];
            source.read_at(start as u64, &mut buf).expect("read");
            assert_eq!(buf, expected[start..]);
        }
        assert_eq!(source.next_data(40), Some(40..100));
        assert_eq!(source.next_data(100), None);
    }

    #[test]
    fn nothing_is_generated_beyond_the_end() {
        let source = NullSource::new("null://100", 100, 30);
        for offset in [81, 100, u64::MAX] {
            let error = source.read_at(offset, &mut [0; 20]).expect_err("beyond the end");
            assert!(error.to_string().contains(&offset.to_string()), "{error}");
        }
        source.read_at(100, &mut []).expect("nothing at the end");
    }
}

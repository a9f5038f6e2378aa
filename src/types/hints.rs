//! Hints: the list of changed ranges that `rbd diff --format json` prints.

use super::block::Geometry;
use super::block_set::{BlockSet, joined};
use super::error::{Error, Result};
use super::reason::because;
use serde::Deserialize;
use std::io::Read;

/// One hint as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Hint {
    /// First byte of the range.
    pub offset: u64,
    /// Number of bytes. A hint with length 0 has no effect.
    pub length: u64,
    /// True if the range holds data; false if it was discarded.
    #[serde(deserialize_with = "boolean_or_text")]
    pub exists: bool,
}

/// Some releases of `rbd` print booleans as strings.
fn boolean_or_text<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Boolean(bool),
        Text(String),
    }
    match Either::deserialize(from)? {
        Either::Boolean(value) => Ok(value),
        Either::Text(text) if text == "true" => Ok(true),
        Either::Text(text) if text == "false" => Ok(false),
        Either::Text(text) => Err(serde::de::Error::custom(format!("exists is {text:?}, not true or false"))),
    }
}

/// The blocks that the hints mention, as disjoint ascending ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Blocks that must be read: an existing range touches them, or discarded ranges cover them only in part.
    pub read: BlockSet,
    /// Blocks that are sparse: discarded ranges cover them completely.
    pub sparse: BlockSet,
}

impl Hints {
    /// Whether the hints report no change at all.
    pub fn is_empty(&self) -> bool {
        self.read.is_empty() && self.sparse.is_empty()
    }

    /// Reads a JSON list of hints and maps it to the blocks of `geometry`.
    ///
    /// `what` names the file in error texts.
    ///
    /// # Errors
    /// The input is not a list of hints, or a hint ends beyond the end of the source.
    pub fn from_json(input: impl Read, what: &str, geometry: Geometry) -> Result<Self> {
        let hints: Vec<Hint> = serde_json::from_reader(std::io::BufReader::new(input)).map_err(|e| {
            let what = format!("{what} is not a list of hints as `rbd diff --format json` prints");
            Error::hints(because(what, e))
        })?;
        Self::new(&hints, what, geometry)
    }

    /// Maps `hints` to the blocks of `geometry`.
    ///
    /// # Errors
    /// A hint ends beyond the end of the source.
    pub fn new(hints: &[Hint], what: &str, geometry: Geometry) -> Result<Self> {
        let block = u64::from(geometry.block_size());
        let mut touched = Vec::new();
        let mut gone = Vec::new();
        for hint in hints {
            let end = hint.offset.checked_add(hint.length);
            let Some(end) = end.filter(|end| *end <= geometry.size_bytes()) else {
                return Err(Error::hints(format!(
                    "{what}: the hint at offset {} of {} bytes ends beyond the source, which has {} bytes. \
                     Was it made from another image, or before a resize?",
                    hint.offset,
                    hint.length,
                    geometry.size_bytes()
                )));
            };
            if hint.length == 0 {
                continue;
            }
            if hint.exists {
                touched.push(hint.offset / block..end.div_ceil(block));
            } else {
                gone.push(hint.offset..end);
            }
        }
        let mut sparse = Vec::new();
        for bytes in joined(gone) {
            let last = bytes.end == geometry.size_bytes();
            let whole = bytes.start.div_ceil(block)..if last { geometry.blocks() } else { bytes.end / block };
            // A block that is only covered in part still holds other data, so it must be read.
            touched.push(
                bytes.start / block..bytes.end.div_ceil(block).min(whole.start.max(bytes.start / block)),
            );
            touched.push(whole.end.max(bytes.start / block)..bytes.end.div_ceil(block));
            sparse.push(whole);
        }
        let read: BlockSet = touched.into_iter().collect();
        let sparse: BlockSet = sparse.into_iter().collect();
        Ok(Hints { sparse: sparse.subtract(&read), read })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(offset: u64, length: u64, exists: bool) -> Hint {
        Hint { offset, length, exists }
    }

    #[test]
    fn both_spellings_of_exists_are_read() {
        let json = "[\n{\"offset\":4,\"length\":4,\"exists\":\"true\"},\n {\"offset\":8,\"length\":4,\"exists\":false}]";
        let hints = Hints::from_json(json.as_bytes(), "h", Geometry::new(20, 4)).expect("hints");
        assert_eq!(hints, Hints { read: (1..2).into(), sparse: (2..3).into() });
        let none = Hints::from_json(&b"[]"[..], "h", Geometry::new(20, 4)).expect("empty");
        assert_eq!(none, Hints::default());
        for bad in [
            "",
            "{}",
            "[1]",
            "[{\"offset\":-1,\"length\":4,\"exists\":true}]",
            "[{\"offset\":1,\"length\":4,\"exists\":\"maybe\"}]",
            "[{\"offset\":1}]",
        ] {
            assert!(Hints::from_json(bad.as_bytes(), "h", Geometry::new(20, 4)).is_err(), "{bad}");
        }
    }

    /// Checks the rule byte by byte: a block is read if any byte of it exists, or if only some of its bytes are
    /// discarded.
    #[test]
    fn a_block_covered_in_part_is_read() {
        let geometry = Geometry::new(14, 4);
        for seed in 0..3000u64 {
            let mut random = fastrand::Rng::with_seed(seed);
            let hints: Vec<Hint> = (0..random.usize(0..5))
                .map(|_| {
                    let offset = random.u64(0..=14);
                    hint(offset, random.u64(0..=14 - offset), random.bool())
                })
                .collect();
            let made = Hints::new(&hints, "h", geometry).expect("in range");
            for id in 0..4u64 {
                let bytes: Vec<u64> = (id * 4..(id * 4 + 4).min(14)).collect();
                let covered = |exists: bool| {
                    bytes
                        .iter()
                        .filter(|b| {
                            hints
                                .iter()
                                .any(|h| h.exists == exists && h.offset <= **b && **b < h.offset + h.length)
                        })
                        .count()
                };
                let (there, gone) = (covered(true), covered(false));
                let read = there > 0 || (gone > 0 && gone < bytes.len());
                let sparse = !read && gone == bytes.len();
                assert_eq!(made.read.contains(id), read, "{hints:?} block {id}");
                assert_eq!(made.sparse.contains(id), sparse, "{hints:?} block {id}");
            }
        }
    }

    #[test]
    fn a_hint_beyond_the_end_is_refused() {
        for beyond in [hint(12, 4, true), hint(u64::MAX, 2, true), hint(15, 0, true)] {
            let error = Hints::new(&[beyond], "h.json", Geometry::new(14, 4)).expect_err("beyond");
            assert!(error.to_string().contains("h.json"), "{error}");
        }
    }
}

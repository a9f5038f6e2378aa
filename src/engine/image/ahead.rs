//! Read-ahead: finds sequential readers, and chooses the blocks to fetch before they ask for them.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Number of sequential readers that are tracked. A file system on a loop device has several open files.
const STREAMS: usize = 8;
/// The kernel reads ahead too, so requests may arrive out of order by this many blocks.
const OVERTAKE: u64 = 2;

/// The sequential readers of an image.
#[derive(Default)]
pub(super) struct Streams(Mutex<[Stream; STREAMS]>);

#[derive(Clone, Copy, Default)]
struct Stream {
    /// The block after the furthest one that was read; 0 if the entry is not in use.
    next: u64,
    /// The block after the last one that was fetched ahead.
    fetched: u64,
    /// Number of consecutive blocks read.
    streak: u32,
    /// When the reader was last seen, on a counter that grows with each use.
    used: u64,
}

impl Streams {
    /// Records a read of block `id`, and returns the blocks to fetch ahead, at most up to `most` blocks after `id`.
    /// The distance doubles with each consecutive block.
    pub(super) fn note(&self, id: u64, most: u64) -> Range<u64> {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = streams.iter().map(|stream| stream.used).max().unwrap_or(0) + 1;
        let near = |stream: &&mut Stream| {
            stream.next > 0 && id + 1 + OVERTAKE >= stream.next && id <= stream.next + OVERTAKE
        };
        if let Some(stream) = streams.iter_mut().find(near) {
            stream.used = now;
            if id < stream.next {
                return 0..0;
            }
            stream.streak += 1;
            stream.next = id + 1;
            let distance = 1u64.checked_shl(stream.streak).unwrap_or(u64::MAX).min(most);
            let ahead = stream.fetched.max(id + 1)..(id + 1).saturating_add(distance);
            stream.fetched = stream.fetched.max(ahead.end);
            return ahead;
        }
        if let Some(oldest) = streams.iter_mut().min_by_key(|stream| stream.used) {
            *oldest = Stream { next: id + 1, fetched: id + 1, streak: 0, used: now };
        }
        0..0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequential_reads_are_anticipated_and_random_ones_are_not() {
        let streams = Streams::default();
        assert!(streams.note(0, 8).is_empty());
        assert!(streams.note(0, 8).is_empty());
        assert_eq!(streams.note(1, 8), 2..4);
        assert!(streams.note(1, 8).is_empty());
        assert_eq!(streams.note(2, 8), 4..7);
        assert_eq!(streams.note(3, 8), 7..12);
        assert_eq!(streams.note(4, 8), 12..13, "no further than 8 blocks");
        for id in [1000, 5000, 30, 700] {
            assert!(streams.note(id, 8).is_empty(), "{id}");
        }
        assert_eq!(streams.note(5, 8), 13..14, "the others did not disturb it");
        assert_eq!(streams.note(1001, 8), 1002..1004);
    }

    #[test]
    fn every_block_is_requested_once_even_if_readers_overtake() {
        let streams = Streams::default();
        let mut asked = Vec::new();
        for id in [0, 2, 1, 3, 5, 4, 6, 7, 8, 9] {
            asked.extend(streams.note(id, 4));
        }
        let mut unique = asked.clone();
        unique.dedup();
        assert_eq!(asked, unique);
        assert_eq!(asked.last(), Some(&13));
    }
}

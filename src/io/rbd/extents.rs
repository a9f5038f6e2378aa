//! Finds the data of an image, one window at a time.

use crate::sys::ceph::Image;
use crate::types::block_set::joined;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// The smallest window, in bytes. Without object maps, each object of a window is looked up.
const SMALLEST: u64 = 1 << 30;
/// The most windows of an image. With object maps, each window loads all of them.
const WINDOWS: u64 = 64;
/// Windows to remember. Threads that read side by side are only a few blocks apart.
const REMEMBERED: usize = 2;

/// The windows of an image of `size` bytes, in order.
pub(super) fn windows(size: u64) -> impl Iterator<Item = Range<u64>> {
    let step = window(size);
    (0..size.div_ceil(step)).map(move |n| n * step..(n + 1).saturating_mul(step).min(size))
}

/// The size of a window in bytes, a multiple of the smallest.
fn window(size: u64) -> u64 {
    size.div_ceil(WINDOWS).max(1).div_ceil(SMALLEST).saturating_mul(SMALLEST)
}

/// The extents of an image with data, as far as they have been requested.
pub(super) struct Extents {
    size: u64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The cluster could not tell, so everything may be data.
    unknown: bool,
    windows: VecDeque<(Range<u64>, Vec<Range<u64>>)>,
}

impl Extents {
    /// No extents are known yet of this image of `size` bytes.
    pub(super) fn new(size: u64) -> Self {
        Extents { size, seen: Mutex::default() }
    }

    /// Treats everything as data from now on, for callers that already know what to read.
    pub(super) fn read_all(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).unknown = true;
    }

    /// See [`crate::io::Source::next_data`]. `ask` returns the extents of a window.
    pub(super) fn next_data(
        &self,
        offset: u64,
        mut ask: impl FnMut(Range<u64>) -> io::Result<Vec<Range<u64>>>,
    ) -> Option<Range<u64>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = offset;
        while at < self.size {
            if seen.unknown {
                return Some(at..self.size);
            }
            let known = seen.windows.iter().find(|(window, _)| window.contains(&at));
            if let Some((window, extents)) = known {
                match extents.iter().find(|extent| extent.end > at) {
                    Some(extent) => return Some(extent.start.max(at)..extent.end),
                    None => at = window.end,
                }
                continue;
            }
            let step = window(self.size);
            let start = at / step * step;
            let range = start..start.saturating_add(step).min(self.size);
            match ask(range.clone()) {
                Ok(extents) => {
                    if seen.windows.len() == REMEMBERED {
                        seen.windows.pop_front();
                    }
                    let (first, last) = (range.start, range.end);
                    let inside = extents.into_iter().map(|e| e.start.max(first)..e.end.min(last));
                    seen.windows.push_back((range, joined(inside)));
                }
                Err(_) => seen.unknown = true,
            }
        }
        None
    }
}

/// The extents of `range` that hold data, including data of a clone's parent.
pub(super) fn data_of(image: &Image, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
    let mut extents = Vec::new();
    image.diff(None, range, &mut |offset, length, exists| {
        if exists {
            extents.push(offset..offset.saturating_add(length));
        }
    })?;
    Ok(extents)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn windows_cover_an_image_and_are_few() {
        for size in [0, 1, GIB, GIB + 1, 64 * GIB, 65 * GIB, 10_000 * GIB + 5, 1 << 62] {
            let all: Vec<_> = windows(size).collect();
            assert!(all.len() as u64 <= WINDOWS, "{size}: {}", all.len());
            assert_eq!(all.first().map_or(0, |w| w.start), 0);
            assert_eq!(all.last().map_or(0, |w| w.end), size);
            assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn data_is_found_across_windows_with_a_question_each() {
        let size = 5 * GIB + 100;
        let extents = Extents::new(size);
        let data = [GIB / 2..GIB + 5, 3 * GIB..3 * GIB + 1, 5 * GIB + 50..5 * GIB + 60];
        let mut asked = 0;
        let mut next = |offset: u64| {
            extents.next_data(offset, |window| {
                asked += 1;
                Ok(data.iter().filter(|d| d.start < window.end && d.end > window.start).cloned().collect())
            })
        };
        assert_eq!(next(0), Some(GIB / 2..GIB));
        assert_eq!(next(GIB), Some(GIB..GIB + 5));
        assert_eq!(next(GIB - 1), Some(GIB - 1..GIB));
        assert_eq!(next(GIB + 5), Some(3 * GIB..3 * GIB + 1));
        assert_eq!(next(3 * GIB + 1), Some(5 * GIB + 50..5 * GIB + 60));
        assert_eq!(next(5 * GIB + 60), None);
        assert_eq!(next(size), None);
        assert_eq!(asked, 6);
    }

    #[test]
    fn without_an_answer_everything_is_data() {
        let extents = Extents::new(100);
        assert_eq!(extents.next_data(10, |_| Err(io::ErrorKind::TimedOut.into())), Some(10..100));
        assert_eq!(extents.next_data(20, |_| Ok(Vec::new())), Some(20..100));
        let extents = Extents::new(100);
        extents.read_all();
        assert_eq!(extents.next_data(20, |_| Ok(Vec::new())), Some(20..100));
        assert_eq!(Extents::new(0).next_data(0, |_| Ok(Vec::new())), None);
    }
}

//! A set of pages. Segments that are empty or full need almost no memory.

use std::collections::HashMap;
use std::ops::Range;

/// Bytes in a page. File systems write at least this much, so at most this much is copied for a small write.
pub(super) const PAGE: u64 = 4096;

/// Number of pages in a segment: 16 MiB of the image.
const SEGMENT: u64 = 4096;
const WORDS: usize = (SEGMENT / 64) as usize;

/// The set of pages.
#[derive(Default)]
pub(super) struct Pages(HashMap<u64, Segment>);

enum Segment {
    Whole,
    Part(Box<[u64; WORDS]>),
}

impl Pages {
    /// Whether the set contains the page.
    pub(super) fn holds(&self, page: u64) -> bool {
        match self.0.get(&(page / SEGMENT)) {
            None => false,
            Some(Segment::Whole) => true,
            Some(Segment::Part(words)) => words[(page % SEGMENT / 64) as usize] >> (page % 64) & 1 == 1,
        }
    }

    /// Adds pages to the set.
    pub(super) fn hold(&mut self, pages: Range<u64>) {
        let mut page = pages.start;
        while page < pages.end {
            let number = page / SEGMENT;
            let end = pages.end.min((number + 1) * SEGMENT);
            if end - page == SEGMENT {
                self.0.insert(number, Segment::Whole);
            } else if let Segment::Part(words) =
                self.0.entry(number).or_insert_with(|| Segment::Part(Box::new([0; WORDS])))
            {
                for page in page..end {
                    words[(page % SEGMENT / 64) as usize] |= 1 << (page % 64);
                }
                if words.iter().all(|word| *word == u64::MAX) {
                    self.0.insert(number, Segment::Whole);
                }
            }
            page = end;
        }
    }

    /// Whether the set contains page `from`, and the end of the run of pages, up to `end`, for which the same holds.
    pub(super) fn run(&self, from: u64, end: u64) -> (bool, u64) {
        let held = self.holds(from);
        let mut page = from;
        while page < end {
            let behind = (page / SEGMENT + 1) * SEGMENT;
            match self.0.get(&(page / SEGMENT)) {
                None if held => break,
                None => page = behind,
                Some(Segment::Whole) if !held => break,
                Some(Segment::Whole) => page = behind,
                Some(Segment::Part(_)) if self.holds(page) != held => break,
                Some(Segment::Part(_)) => page += 1,
            }
        }
        (held, page.min(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_like_a_set_of_numbers() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut pages, mut model) = (Pages::default(), vec![false; 5 * SEGMENT as usize]);
        for round in 0..300 {
            let start = random.u64(0..5 * SEGMENT);
            let most = if round % 10 == 0 { 2 * SEGMENT } else { 100 };
            let end = (start + random.u64(0..most)).min(5 * SEGMENT);
            pages.hold(start..end);
            model[start as usize..end as usize].fill(true);
            let from = random.u64(0..5 * SEGMENT);
            let same =
                model[from as usize..].iter().take_while(|held| **held == model[from as usize]).count();
            assert_eq!(pages.run(from, 5 * SEGMENT), (model[from as usize], from + same as u64));
        }
        for (page, held) in model.iter().enumerate() {
            assert_eq!(pages.holds(page as u64), *held, "{page}");
        }
    }

    #[test]
    fn whole_segments_take_no_bits() {
        let mut pages = Pages::default();
        pages.hold(0..1 << 28);
        assert_eq!(pages.0.len() as u64, (1 << 28) / SEGMENT);
        assert!(pages.0.values().all(|segment| matches!(segment, Segment::Whole)));
        let mut pages = Pages::default();
        for page in 0..SEGMENT {
            pages.hold(page..page + 1);
        }
        assert!(matches!(pages.0[&0], Segment::Whole));
    }
}

//! Images whose blocks have one of six contents.

use std::io::{Seek, SeekFrom, Write};

/// Block size in bytes.
pub const BLOCK: usize = 512;
/// The number of contents; content 0 is zeros.
pub const CONTENTS: u8 = 6;

/// An image: the contents of its blocks, and the length of the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub blocks: Vec<u8>,
    pub tail: usize,
}

/// The data of a block.
pub fn data(content: u8, length: usize) -> Vec<u8> {
    match content {
        0 => vec![0; length],
        content => {
            let mut data = vec![0; BLOCK];
            fastrand::Rng::with_seed(u64::from(content)).fill(&mut data);
            data.truncate(length);
            data
        }
    }
}

impl Image {
    pub fn random(random: &mut fastrand::Rng) -> Self {
        let blocks = (0..random.usize(0..12)).map(|_| random.u8(0..CONTENTS)).collect();
        let tail = if random.bool() { BLOCK } else { random.usize(1..=BLOCK) };
        Image { blocks, tail }
    }

    /// The length of block `id` in bytes.
    pub fn length(&self, id: usize) -> usize {
        if id + 1 == self.blocks.len() { self.tail } else { BLOCK }
    }

    pub fn size(&self) -> usize {
        (0..self.blocks.len()).map(|id| self.length(id)).sum()
    }

    pub fn bytes(&self) -> Vec<u8> {
        (0..self.blocks.len()).flat_map(|id| data(self.blocks[id], self.length(id))).collect()
    }

    /// Writes the image to a file; with `holes`, blocks of zeros become holes.
    pub fn write(&self, path: &std::path::Path, holes: bool) {
        let mut file = std::fs::File::create(path).expect("created");
        for (id, content) in self.blocks.iter().enumerate().filter(|(_, content)| **content > 0 || !holes) {
            file.seek(SeekFrom::Start((id * BLOCK) as u64)).expect("sought");
            file.write_all(&data(*content, self.length(id))).expect("written");
        }
        file.set_len(self.size() as u64).expect("sized");
    }

    /// A copy with some blocks changed, perhaps longer or shorter, and the numbers of the changed blocks.
    pub fn changed(&self, random: &mut fastrand::Rng) -> (Self, Vec<usize>) {
        let mut new = self.clone();
        match random.u8(0..6) {
            0 => new.blocks.truncate(random.usize(0..=self.blocks.len())),
            1 => new.blocks.extend((0..random.usize(1..4)).map(|_| random.u8(0..CONTENTS))),
            2 => new.tail = random.usize(1..=BLOCK),
            _ => {}
        }
        for _ in 0..random.usize(0..3).min(new.blocks.len()) {
            let id = random.usize(0..new.blocks.len());
            new.blocks[id] = random.u8(0..CONTENTS);
        }
        let differs = |id: &usize| self.blocks.get(*id) != Some(&new.blocks[*id]);
        let changed = (0..new.blocks.len()).filter(differs).collect();
        (new, changed)
    }

    /// Hints for these blocks, and for some other blocks.
    pub fn hints(&self, blocks: &[usize], random: &mut fastrand::Rng) -> String {
        let mut hints = Vec::new();
        let more = (0..self.blocks.len()).filter(|_| random.u8(0..8) == 0).collect::<Vec<_>>();
        for id in blocks.iter().chain(&more) {
            let (offset, length) = (id * BLOCK, self.length(*id));
            let gone = self.blocks[*id] == 0 && random.bool();
            // Where data exists, a hint for a part of the block is enough.
            let (from, to) = if gone {
                (0, length)
            } else {
                let from = random.usize(0..length);
                (from, random.usize(from + 1..=length))
            };
            hints.push(serde_json::json!({
                "offset": offset + from,
                "length": to - from,
                "exists": if random.bool() { (!gone).into() } else { serde_json::Value::String((!gone).to_string()) },
            }));
        }
        serde_json::Value::Array(hints).to_string()
    }
}

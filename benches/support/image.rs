//! An image and the kinds of its blocks: holes, zeros, new and repeated data.

use backy2::config::IoConfig;
use backy2::hash::{Hasher, is_zero};
use backy2::io::{self, Source};
use backy2::types::block::Geometry;
use backy2::types::checksum::Digest;
use backy2::types::settings::HashFunction;
use std::collections::HashSet;
use std::path::PathBuf;

/// The default size of blocks, in bytes.
const BLOCK: u32 = 4 << 20;

/// A block that is not a hole.
pub struct Block {
    /// Number of the block.
    pub id: u64,
    /// Digest; `None` if the block is all zeros.
    pub digest: Option<Digest>,
    /// Whether no earlier block has the same data.
    pub new: bool,
}

/// An image and its blocks.
pub struct Image {
    /// The image.
    pub source: Box<dyn Source>,
    /// Size of the image and of its blocks.
    pub geometry: Geometry,
    /// Computes digests as a backup would.
    pub hasher: Hasher,
    /// All blocks but the holes.
    pub blocks: Vec<Block>,
    /// The folder for work files.
    pub folder: PathBuf,
}

impl Image {
    /// Opens the image and reads it once.
    pub fn open(path: &str) -> Self {
        let path = std::fs::canonicalize(path).expect("an image");
        let url = format!("file://{}", path.display());
        let source = io::open_source(&url, &IoConfig::default(), BLOCK).expect("an image");
        let geometry = Geometry::new(source.size(), BLOCK);
        let hasher = Hasher::new(HashFunction::Sha512);
        let mut seen = HashSet::new();
        let mut data = Vec::new();
        let blocks = with_data(&*source, geometry)
            .into_iter()
            .map(|id| {
                data.resize(geometry.length(id), 0);
                source.read_at(geometry.offset(id), &mut data).expect("read");
                let digest = (!is_zero(&data)).then(|| hasher.digest(&data));
                Block { id, digest, new: digest.is_some_and(|digest| seen.insert(digest)) }
            })
            .collect();
        let folder = path.parent().expect("a file is in a folder");
        Image { source, geometry, hasher, blocks, folder: folder.to_owned() }
    }

    /// A summary for people.
    pub fn summary(&self) -> String {
        let stored = self.blocks.iter().filter(|block| block.digest.is_some()).count();
        let new = self.blocks.iter().filter(|block| block.new).count();
        format!(
            "{} blocks: {} in holes, {} of zeros, {} with data, {new} of them unlike all before; {} hashed at once",
            self.geometry.blocks(),
            self.geometry.blocks() - self.blocks.len() as u64,
            self.blocks.len() - stored,
            stored,
            self.hasher.lanes()
        )
    }
}

/// The blocks that do not lie in holes completely.
fn with_data(source: &dyn Source, geometry: Geometry) -> Vec<u64> {
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(range) = source.next_data(geometry.offset(next)) {
        let block = u64::from(geometry.block_size());
        let (first, end) = (next.max(range.start / block), range.end.div_ceil(block));
        found.extend(first..end);
        next = end;
    }
    found
}

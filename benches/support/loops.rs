//! The work that commands do on blocks, without anything between the stages.

use super::image::{Block, Image};
use backy2::crypt::{Decoder, Encoder, Keyring};
use backy2::hash::is_zero;
use backy2::types::block::Encryption;
use backy2::types::checksum::Digest;
use backy2::types::settings::MasterKey;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A command that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A backup that finds nothing stored. It reads, tests for zeros, hashes, and compresses and encrypts new blocks.
    First,
    /// A backup that finds all blocks stored. It reads, tests for zeros and hashes.
    Unchanged,
    /// Reads, decrypts, decompresses and hashes each blob.
    Scrub,
    /// As a scrub for each block with data, and then writes it, without a flush.
    Restore,
}

impl Way {
    /// All commands.
    pub const ALL: [Way; 4] = [Way::First, Way::Unchanged, Way::Scrub, Way::Restore];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Way::First => "first",
            Way::Unchanged => "unchanged",
            Way::Scrub => "scrub",
            Way::Restore => "restore",
        }
    }

    /// Whether it needs stored blobs.
    pub fn reads_blobs(self) -> bool {
        matches!(self, Way::Scrub | Way::Restore)
    }
}

/// Time and plain bytes of one stage. For `read` of blobs, the bytes are those of the blobs.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    /// Sum over all threads.
    pub time: Duration,
    /// Bytes processed.
    pub bytes: u64,
}

/// The costs of all stages.
#[derive(Clone, Copy, Default)]
pub struct Costs {
    read: Cost,
    zero: Cost,
    hash: Cost,
    encode: Cost,
    decode: Cost,
    write: Cost,
}

impl Costs {
    /// The stages that have processed anything.
    pub fn stages(&self) -> Vec<(&'static str, Cost)> {
        let all = [
            ("read", self.read),
            ("zero test", self.zero),
            ("hash", self.hash),
            ("compress and encrypt", self.encode),
            ("decrypt and decompress", self.decode),
            ("write", self.write),
        ];
        all.into_iter().filter(|(_, cost)| cost.bytes > 0).collect()
    }
}

impl Cost {
    fn of<T>(&mut self, bytes: usize, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.time += start.elapsed();
        self.bytes += bytes as u64;
        result
    }
}

/// Position of a blob in the work file.
struct Stored {
    offset: u64,
    length: usize,
    encryption: Encryption,
}

/// Shared data of the loops.
pub struct Work<'i> {
    image: &'i Image,
    keys: Keyring,
    blobs: Option<(File, HashMap<Digest, Stored>)>,
}

/// Data of one thread.
struct Worker<'w> {
    plain: Vec<Vec<u8>>,
    blob: Vec<u8>,
    encoder: Encoder<'w>,
    decoder: Decoder<'w>,
    costs: Costs,
}

impl<'i> Work<'i> {
    /// Prepares the work. With `with_blobs` it stores the blobs in an unnamed file beside the image.
    pub fn new(image: &'i Image, with_blobs: bool) -> Self {
        let key = MasterKey::from_hex(&"0f".repeat(32)).expect("a key");
        let mut work = Work { image, keys: Keyring::new(Some(&key)), blobs: None };
        if with_blobs {
            work.blobs = Some(work.store());
        }
        work
    }

    /// The number of blocks that a command processes.
    pub fn blocks(&self, way: Way) -> usize {
        self.of(way).len()
    }

    /// The blocks that a command processes.
    fn of(&self, way: Way) -> Vec<&'i Block> {
        self.image
            .blocks
            .iter()
            .filter(|block| match way {
                Way::First | Way::Unchanged => true,
                Way::Scrub => block.new,
                Way::Restore => block.digest.is_some(),
            })
            .collect()
    }

    fn store(&self) -> (File, HashMap<Digest, Stored>) {
        let file = tempfile::tempfile_in(&self.image.folder).expect("a work file");
        let mut stored = HashMap::new();
        let mut encoder = Encoder::new(1, &self.keys).expect("an encoder");
        let (mut data, mut offset) = (Vec::new(), 0);
        for block in self.of(Way::Scrub) {
            data.resize(self.image.geometry.length(block.id), 0);
            self.image.source.read_at(self.image.geometry.offset(block.id), &mut data).expect("read");
            let (blob, encryption) = encoder.encode(&data).expect("encoded");
            file.write_all_at(blob, offset).expect("written");
            let digest = block.digest.expect("blocks with data have one");
            stored.insert(digest, Stored { offset, length: blob.len(), encryption });
            offset += blob.len() as u64;
        }
        file.sync_all().expect("flushed");
        (file, stored)
    }

    /// Does the work of `way` on `threads` threads. Returns the wall time, and the costs summed over the threads.
    pub fn run(&self, way: Way, threads: usize) -> (Duration, Costs) {
        let blocks = self.of(way);
        let groups: Vec<&[&Block]> = blocks.chunks(self.image.hasher.lanes().max(1)).collect();
        let target = (way == Way::Restore).then(|| {
            let file = tempfile::tempfile_in(&self.image.folder).expect("a work file");
            file.set_len(self.image.geometry.size_bytes()).expect("sized");
            file
        });
        let next = AtomicUsize::new(0);
        let mut workers: Vec<Worker<'_>> = (0..threads).map(|_| self.worker()).collect();
        let start = Instant::now();
        std::thread::scope(|scope| {
            for worker in &mut workers {
                let (next, groups, target) = (&next, &groups, target.as_ref());
                scope.spawn(move || {
                    while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if way.reads_blobs() {
                            self.out(worker, group, target);
                        } else {
                            self.inward(worker, group, way == Way::First);
                        }
                    }
                });
            }
        });
        let took = start.elapsed();
        if let Some(file) = target {
            // Flush, so that the next round does not find dirty pages.
            file.sync_all().expect("flushed");
        }
        (took, sum(&workers))
    }

    /// Makes a worker. Its memory is touched already, so that page faults are not measured.
    fn worker(&self) -> Worker<'_> {
        let length = self.image.geometry.block_size() as usize;
        let mut encoder = Encoder::new(1, &self.keys).expect("an encoder");
        encoder.encode(&vec![1; length]).expect("encoded");
        Worker {
            plain: vec![vec![1; length]; self.image.hasher.lanes().max(1)],
            blob: vec![1; length],
            encoder,
            decoder: Decoder::new(&self.keys).expect("a decoder"),
            costs: Costs::default(),
        }
    }

    /// Processes blocks of the image, as a backup does.
    fn inward(&self, worker: &mut Worker<'_>, group: &[&Block], store: bool) {
        let Worker { plain, encoder, costs, .. } = worker;
        let mut full = Vec::with_capacity(group.len());
        for (block, data) in group.iter().zip(plain.iter_mut()) {
            let length = self.image.geometry.length(block.id);
            data.resize(length, 0);
            let offset = self.image.geometry.offset(block.id);
            costs.read.of(length, || self.image.source.read_at(offset, data)).expect("read");
            if !costs.zero.of(length, || is_zero(data)) {
                full.push((*block, &data[..]));
            }
        }
        self.hash(costs, &full);
        for (_, data) in full.iter().filter(|(block, _)| store && block.new) {
            costs
                .encode
                .of(data.len(), || encoder.encode(data).map(|(blob, _)| blob.len()))
                .expect("encoded");
        }
    }

    /// Processes blobs, as a scrub or restore does.
    fn out(&self, worker: &mut Worker<'_>, group: &[&Block], target: Option<&File>) {
        let Worker { plain, blob, decoder, costs, .. } = worker;
        let (file, stored) = self.blobs.as_ref().expect("stored before");
        let mut full = Vec::with_capacity(group.len());
        for (block, data) in group.iter().zip(plain.iter_mut()) {
            let stored = &stored[&block.digest.expect("blocks with data have one")];
            blob.resize(stored.length, 0);
            costs.read.of(stored.length, || file.read_exact_at(blob, stored.offset)).expect("read");
            let length = self.image.geometry.length(block.id);
            costs
                .decode
                .of(length, || decoder.decode(blob, &stored.encryption, length as u64, data))
                .expect("decoded");
            full.push((*block, &data[..]));
        }
        self.hash(costs, &full);
        for (block, data) in full.iter().filter(|_| target.is_some()) {
            let offset = self.image.geometry.offset(block.id);
            costs
                .write
                .of(data.len(), || target.map_or(Ok(()), |file| file.write_all_at(data, offset)))
                .expect("written");
        }
    }

    fn hash(&self, costs: &mut Costs, full: &[(&Block, &[u8])]) {
        let bytes = full.iter().map(|(_, data)| data.len()).sum();
        let digests =
            costs.hash.of(bytes, || self.image.hasher.digest_all(full.iter().map(|(_, data)| *data)));
        for ((block, _), digest) in full.iter().zip(digests) {
            assert!(block.digest == Some(digest), "block {} is not what it was", block.id);
        }
    }
}

fn sum(workers: &[Worker<'_>]) -> Costs {
    let add = |one: Cost, other: Cost| Cost { time: one.time + other.time, bytes: one.bytes + other.bytes };
    workers.iter().map(|worker| worker.costs).fold(Costs::default(), |all, more| Costs {
        read: add(all.read, more.read),
        zero: add(all.zero, more.zero),
        hash: add(all.hash, more.hash),
        encode: add(all.encode, more.encode),
        decode: add(all.decode, more.decode),
        write: add(all.write, more.write),
    })
}

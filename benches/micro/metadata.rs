//! A database with a million blobs.

use crate::large::{Checksums, add_version, checksum, new_version, open_new};
use backy2::meta::url::DatabaseUrl;
use backy2::meta::{Fingerprint, Metadata, NewBlob, NewRow, Rows, VersionFilter};
use backy2::monitor::Handle;
use backy2::types::block::Encryption;
use backy2::types::block_set::BlockSet;
use backy2::types::uid::BlobUid;
use backy2::types::version::Version;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use std::sync::{Mutex, OnceLock, PoisonError};

const BLOCKS: u64 = 1_000_000;
/// Blocks whose blobs are in random order.
const SCATTERED: u64 = 300_000;
const SIZE: u64 = 4 << 20;

/// The database, and the only version that it has between the benches.
struct Large {
    meta: Metadata,
    base: Version,
    folder: tempfile::TempDir,
}

static LARGE: OnceLock<Mutex<Option<Large>>> = OnceLock::new();

/// Calls `work` with the database. The first call makes the database.
fn with_large<T>(work: impl FnOnce(&mut Large) -> T) -> T {
    let mut large = LARGE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    work(large.get_or_insert_with(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut meta = open_new(&folder.path().join("backy.sqlite"));
        let base = add_version(&mut meta, "vm", BLOCKS, SCATTERED, Checksums::Different);
        Large { meta, base, folder }
    }))
}

/// Removes the database. Call this at the end, since statics are never dropped.
pub fn remove() {
    if let Some(large) = LARGE.get() {
        large.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Large {
    /// A new version without blocks. All versions but the base are removed before.
    fn fresh(&mut self) -> Version {
        for version in self.meta.versions(&VersionFilter::default()).expect("listed").versions {
            if version.uid != self.base.uid {
                self.meta.remove_version(&version, 0).expect("removed");
            }
        }
        self.meta.begin_version(&new_version("vm", BLOCKS)).expect("a version")
    }

    fn carry(&mut self, version: &Version, blocks: &BlockSet) {
        let carried = self.meta.carry(&self.base, version, blocks).expect("carried");
        assert!(carried.blocks > 0, "nothing was carried");
    }
}

/// All blocks but `count` single ones that are spread over the image.
fn all_but(count: u64) -> BlockSet {
    let step = BLOCKS / count.max(1);
    let changed: BlockSet = (0..count).map(|n| n * step).collect();
    BlockSet::from(0..BLOCKS).subtract(&changed)
}

/// Looks up 64 digests at once, all known or all unknown.
#[divan::bench(args = [true, false], max_time = 1)]
fn find_known(bencher: Bencher, known: bool) {
    const COUNT: u64 = 64;
    let mut random = fastrand::Rng::with_seed(1);
    bencher
        .counter(ItemsCount::new(COUNT))
        .with_inputs(|| -> Vec<Fingerprint> {
            let offset = if known { 0 } else { BLOCKS };
            let ids = (0..COUNT).map(|_| random.u64(0..BLOCKS) + offset);
            ids.map(|id| Fingerprint { checksum: checksum(id), size: SIZE, enc_version: 1 }).collect()
        })
        .bench_local_values(|wanted| {
            let found = with_large(|large| large.meta.find_known(&wanted)).expect("looked up");
            assert!(found.iter().all(|blob| blob.is_some() == known));
            found
        });
}

/// Carries a million blocks, without those that have changed.
#[divan::bench(args = [0, 1000], sample_count = 3, sample_size = 1)]
fn carry(bencher: Bencher, changed: u64) {
    let blocks = all_but(changed);
    bencher
        .counter(ItemsCount::new(BLOCKS - changed))
        .with_inputs(|| with_large(Large::fresh))
        .bench_local_values(|version| with_large(|large| large.carry(&version, &blocks)));
}

/// Removes a version of a million blocks that it shares with another one.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn rm(bencher: Bencher) {
    bencher
        .counter(ItemsCount::new(BLOCKS))
        .with_inputs(|| {
            with_large(|large| {
                let version = large.fresh();
                large.carry(&version, &all_but(0));
                version
            })
        })
        .bench_local_values(|version| {
            let rows = with_large(|large| large.meta.remove_version(&version, 0)).expect("removed");
            assert_eq!(rows, BLOCKS);
        });
}

/// Asks which blocks of a version cannot be carried, as before each backup with a base.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn unusable(bencher: Bencher) {
    bencher
        .counter(ItemsCount::new(BLOCKS))
        .bench_local(|| with_large(|large| large.meta.unusable(&large.base)).expect("looked up"));
}

/// Commits 1000 rows with new blobs.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn commit_new(bencher: Bencher) {
    let mut random = fastrand::Rng::with_seed(2);
    commit(bencher, move |_, id| {
        let fingerprint =
            Fingerprint { checksum: checksum(random.u64(BLOCKS..)), size: SIZE, enc_version: 1 };
        let encryption =
            Encryption { version: 1, envkey: Some("0b".repeat(40)), nonce: Some("0c".repeat(16)) };
        NewRow::Store { ids: vec![id], blob: NewBlob { uid: BlobUid::generate(), fingerprint, encryption } }
    });
}

/// Commits 1000 rows with known blobs.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn commit_known(bencher: Bencher) {
    let mut random = fastrand::Rng::with_seed(3);
    commit(bencher, move |large, id| {
        let wanted = Fingerprint { checksum: checksum(random.u64(..BLOCKS)), size: SIZE, enc_version: 1 };
        let known = large.meta.find_known(&[wanted]).expect("looked up").remove(0).expect("known");
        NewRow::Reuse { id, known }
    });
}

fn commit(bencher: Bencher, mut row: impl FnMut(&mut Large, u64) -> NewRow) {
    const ROWS: u64 = 1000;
    bencher
        .counter(ItemsCount::new(ROWS))
        .with_inputs(|| {
            with_large(|large| {
                let version = large.fresh();
                let rows: Vec<NewRow> = (0..ROWS).map(|n| row(large, n * (BLOCKS / ROWS))).collect();
                (version, rows)
            })
        })
        .bench_local_values(|(version, rows)| {
            let rejected = with_large(|large| large.meta.commit_blocks(&version, &rows)).expect("committed");
            assert!(rejected.is_empty(), "{} rows were rejected", rejected.len());
        });
}

/// Reads all rows of a version, as a restore does.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn read_rows(bencher: Bencher) {
    const BATCH: usize = 512;
    bencher.counter(ItemsCount::new(BLOCKS)).bench_local(|| {
        with_large(|large| {
            let mut next = 0;
            loop {
                let rows = large.meta.rows(&large.base, next, BATCH, Rows::All).expect("read");
                let Some(last) = rows.last() else { return assert_eq!(next, BLOCKS) };
                next = last.id + 1;
            }
        });
    });
}

/// Opens the database and lists its versions.
#[divan::bench(max_time = 1)]
fn open_and_list(bencher: Bencher) {
    let url = DatabaseUrl::File(with_large(|large| large.folder.path().join("backy.sqlite")));
    bencher.bench_local(|| {
        let mut meta = Metadata::open(black_box(&url), Handle::silent()).expect("opened");
        meta.state().expect("known");
        meta.versions(&VersionFilter::default()).expect("listed")
    });
}

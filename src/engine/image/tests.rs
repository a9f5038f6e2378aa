//! Tests images of a real installation in a folder. Its store counts fetches.

use super::*;
use crate::config::{self, Config, Origin};
use crate::engine::Access;
use crate::engine::backup::{self, Options as Backup};
use crate::engine::init;
use crate::monitor::{Monitor, Progress};
use crate::store::{GetError, Objects, Wanted};
use crate::types::error::Signal;
use crate::types::remedy::Remedy;
use crate::types::uid::BlobUid;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

const BLOCK: usize = 64 << 10;

/// The file store. Counts the fetches of each blob.
struct Counting<'a> {
    inner: Box<dyn BlobStore + 'a>,
    fetched: Mutex<HashMap<BlobUid, u64>>,
}

impl Objects for Counting<'_> {}

impl BlobStore for Counting<'_> {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn put(&self, uid: &BlobUid, data: &[u8]) -> Result<()> {
        self.inner.put(uid, data)
    }
    fn get(&self, wanted: Wanted<'_>, data: &mut Vec<u8>) -> std::result::Result<bool, GetError> {
        *self.fetched.lock().expect("fine").entry(wanted.uid.clone()).or_default() += 1;
        // Wait, so that other readers come while this fetch is in progress.
        std::thread::sleep(Duration::from_millis(3));
        self.inner.get(wanted, data)
    }
    fn delete(&self, uids: &[BlobUid]) -> Vec<(BlobUid, Error)> {
        self.inner.delete(uids)
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(&BlobUid) -> Result<()>) -> Result<()> {
        self.inner.list(prefix, each)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn check(&self) -> Result<()> {
        self.inner.check()
    }
}

impl Counting<'_> {
    fn counts(&self) -> Vec<u64> {
        self.fetched.lock().expect("fine").values().copied().collect()
    }

    fn forget(&self) {
        self.fetched.lock().expect("fine").clear();
    }
}

/// Collects all messages.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Monitor for Notes {
    fn progress(&self, _: &Progress<'_>) {}
    fn advise(&self, level: Level, text: &str, _: &[Remedy]) {
        if level == Level::Error {
            self.0.lock().expect("fine").push(text.to_owned());
        }
    }
    fn interrupted(&self) -> Option<Signal> {
        None
    }
}

struct Bench {
    folder: tempfile::TempDir,
    config: Config,
    notes: Notes,
    uid: VersionUid,
    image: Vec<u8>,
}

/// An image of a little more than 40 blocks. Blocks 10 to 19 are zeros.
fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("b");
    init::folder(&home).expect("made");
    let mut config = config::load(&Origin::Folder(home), &config::Places::of_system()).expect("loaded");
    config.block_size = BLOCK as u32;
    config.process_name = format!("b2i{}", fastrand::u32(..));
    let mut image = vec![0; 40 * BLOCK + 777];
    fastrand::Rng::with_seed(1).fill(&mut image);
    image[10 * BLOCK..20 * BLOCK].fill(0);
    let source = folder.path().join("image");
    std::fs::write(&source, &image).expect("written");
    let notes = Notes::default();
    let uid = {
        let mut site = Site::open(&config, &notes, Access::Write).expect("opened");
        let url = format!("file://{}", source.display());
        let options = Backup {
            source: &url,
            name: "vm",
            snapshot_name: "",
            hints: None,
            base: None,
            resume: None,
            tags: Vec::new(),
            expire: None,
            source_stays: true,
            allow_empty: false,
        };
        backup::run(&mut site, options).expect("backed up").version.uid
    };
    Bench { folder, config, notes, uid, image }
}

impl Bench {
    fn serve<R>(&self, work: impl FnOnce(&Counting, Arc<Depot>) -> R) -> R {
        let mut site = Site::open(&self.config, &self.notes, Access::Read).expect("opened");
        let counting =
            Counting { inner: site.open_store(Use::Read).expect("opened"), fetched: Mutex::default() };
        let options = Options { overlays: Some(self.folder.path().to_owned()) };
        serve_from(site, &counting, &options, |depot| {
            counting.forget();
            Ok(work(&counting, depot))
        })
        .expect("served")
    }

    /// The file that holds the blob of block `id`.
    fn blob(&self, id: u64) -> PathBuf {
        let site = Site::open(&self.config, &self.notes, Access::Read).expect("opened");
        let mut meta = site.meta;
        let version = meta.version(&self.uid).expect("there");
        let row = meta.rows(&version, id, 1, crate::meta::Rows::All).expect("read").remove(0);
        let uid = row.blob.expect("data").uid;
        let uid = uid.as_str();
        self.folder.path().join("b/data").join(&uid[..2]).join(&uid[2..4]).join(format!("{uid}.blob"))
    }
}

#[test]
fn any_range_is_as_in_the_source_and_holes_are_not_fetched() {
    let bench = bench();
    bench.serve(|store, depot| {
        let image = depot.open(&bench.uid).expect("opened");
        assert_eq!(image.size(), bench.image.len() as u64);
        let mut zeros = vec![1; 10 * BLOCK];
        image.read_at(10 * BLOCK as u64, &mut zeros).expect("read");
        assert!(zeros.iter().all(|byte| *byte == 0));
        assert!(store.counts().is_empty());
        let mut random = fastrand::Rng::with_seed(2);
        let mut scratch = Vec::new();
        for _ in 0..300 {
            let start = random.usize(0..bench.image.len());
            let end = (start + random.usize(0..3 * BLOCK)).min(bench.image.len());
            let mut buffer = vec![0; end - start];
            image.read_at(start as u64, &mut buffer).expect("read");
            assert!(buffer == bench.image[start..end]);
            let same = image.read_with(start as u64, end - start, &mut scratch, |data| data == buffer);
            assert!(same.expect("read"));
        }
        let counts = store.counts();
        assert!(counts.len() <= 31 && counts.iter().all(|count| *count == 1), "{counts:?}");
        let mut byte = [0];
        assert!(matches!(image.read_at(image.size(), &mut byte), Err(Fault::Range)));
        assert!(matches!(image.read_at(u64::MAX, &mut byte), Err(Fault::Range)));
    });
}

#[test]
fn concurrent_readers_of_a_block_share_one_fetch() {
    let bench = bench();
    bench.serve(|store, depot| {
        let image = depot.open(&bench.uid).expect("opened");
        std::thread::scope(|scope| {
            for thread in 0..8usize {
                let (image, expected) = (&image, &bench.image);
                scope.spawn(move || {
                    for id in 0..40 {
                        let at = id * BLOCK + thread * 100;
                        let mut buffer = [0; 100];
                        image.read_at(at as u64, &mut buffer).expect("read");
                        assert!(buffer == expected[at..at + 100]);
                    }
                });
            }
        });
        let counts = store.counts();
        assert!(counts.len() <= 31 && counts.iter().all(|count| *count == 1), "{counts:?}");
    });
}

#[test]
fn the_cache_is_bounded_and_sequential_reads_come_from_ahead() {
    let mut bench = bench();
    bench.config.mount_cache_size = 8 * BLOCK as u64;
    bench.serve(|store, depot| {
        let image = depot.open(&bench.uid).expect("opened");
        let mut all = vec![0; bench.image.len()];
        for (number, piece) in all.chunks_mut(BLOCK / 4).enumerate() {
            image.read_at((number * BLOCK / 4) as u64, piece).expect("read");
        }
        assert!(all == bench.image);
        assert!(store.counts().iter().all(|count| *count == 1), "nothing was given up before it was read");
        image.read_at(0, &mut all).expect("read");
        assert!(store.counts().contains(&2), "not everything was kept");
    });
}

#[test]
fn a_bad_block_is_an_error_for_its_range_only_and_reported_once() {
    let bench = bench();
    let mut blob = std::fs::read(bench.blob(5)).expect("read");
    let middle = blob.len() / 2;
    blob[middle] ^= 1;
    std::fs::write(bench.blob(5), blob).expect("written");
    std::fs::remove_file(bench.blob(7)).expect("removed");
    bench.serve(|_, depot| {
        let image = depot.open(&bench.uid).expect("opened");
        let mut block = vec![0; BLOCK];
        for round in 0..2 {
            for id in 0..40 {
                let read = image.read_at((id * BLOCK) as u64, &mut block);
                if [5, 7].contains(&id) {
                    assert!(matches!(read, Err(Fault::Data(_))), "{round} {id}")
                } else {
                    assert!(read.is_ok() && block == bench.image[id * BLOCK..(id + 1) * BLOCK])
                }
            }
        }
        // Overwriting a whole block does not need the old data.
        image.write_at(5 * BLOCK as u64, &vec![7; BLOCK]).expect("written");
        image.read_at(5 * BLOCK as u64, &mut block).expect("read");
        assert!(block == [7; BLOCK]);
        assert!(matches!(image.write_at(7 * BLOCK as u64, &[1]), Err(Fault::Data(_))));
    });
    let notes = bench.notes.0.lock().expect("fine");
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes.iter().all(|note| note.contains("is bad") && note.contains(bench.uid.as_str())),
        "{notes:?}"
    );
}

#[test]
fn written_data_is_read_back_and_disappears_with_the_image() {
    let bench = bench();
    bench.serve(|store, depot| {
        let image = depot.open(&bench.uid).expect("opened");
        assert!(!image.is_changed());
        let mut model = bench.image.clone();
        let mut random = fastrand::Rng::with_seed(5);
        for round in 0..400u64 {
            let start = random.usize(0..model.len());
            let end = (start + random.usize(0..BLOCK)).min(model.len());
            if round % 5 == 0 {
                image.zero(start as u64..end as u64).expect("zeroed");
                model[start..end].fill(0);
            } else {
                image.write_at(start as u64, &vec![round as u8; end - start]).expect("written");
                model[start..end].fill(round as u8);
            }
        }
        let mut all = vec![0; model.len()];
        image.read_at(0, &mut all).expect("read");
        assert!(all == model && image.is_changed());
        image.flush().expect("flushed");
        assert!(matches!(image.write_at(image.size(), &[1]), Err(Fault::Range)));
        drop(image);
        let image = depot.open(&bench.uid).expect("opened again");
        image.read_at(0, &mut all).expect("read");
        assert!(all == bench.image);
        assert!(store.counts().iter().all(|count| *count == 1));
    });
}

#[test]
fn extents_distinguish_data_holes_and_zeros() {
    let bench = bench();
    let block = |id: u64| id * BLOCK as u64;
    bench.serve(|store, depot| {
        let image = depot.open(&bench.uid).expect("opened");
        let end = image.size();
        let plain = [
            (0..block(10), Extent::Data),
            (block(10)..block(20), Extent::Hole),
            (block(20)..end, Extent::Data),
        ];
        assert_eq!(image.extents(0..end, 100).expect("told"), plain);
        assert_eq!(image.extents(5..end, 1).expect("told"), [(5..block(10), Extent::Data)]);
        image.zero(block(2)..block(4)).expect("zeroed");
        image.write_at(block(12), &[1; 4096]).expect("written");
        let changed = [
            (0..block(2), Extent::Data),
            (block(2)..block(4), Extent::Zero),
            (block(4)..block(10), Extent::Data),
            (block(10)..block(12), Extent::Hole),
            (block(12)..block(12) + 4096, Extent::Data),
            (block(12) + 4096..block(20), Extent::Hole),
            (block(20)..end, Extent::Data),
        ];
        assert_eq!(image.extents(0..end, 100).expect("told"), changed);
        assert!(store.counts().is_empty(), "nobody read anything");
    });
}

#[test]
fn a_version_that_is_open_is_pinned_and_one_that_is_not_is_not() {
    let bench = bench();
    bench.serve(|_, depot| {
        let image = depot.open(&bench.uid).expect("opened");
        let others = super::super::lock_dir::locks(&bench.config).expect("a folder");
        let refusal = others.own(&bench.uid).expect_err("pinned").to_string();
        assert!(refusal.contains("mounted"), "{refusal}");
        drop(image);
        let owned = others.own(&bench.uid).expect("free");
        assert!(matches!(depot.open(&bench.uid), Err(Error::Locked(_))));
        drop(owned);
        assert!(matches!(depot.open(&"no-such-uid".into()), Err(Error::VersionNotFound(_))));
        let before = depot.generation().expect("told");
        Site::open(&bench.config, &bench.notes, Access::Write)
            .and_then(|mut site| crate::engine::catalogue::set_protected(&mut site, bench.uid.as_str(), true))
            .expect("protected");
        assert_ne!(depot.generation().expect("told"), before);
    });
}

#[test]
fn a_read_after_the_server_has_ended_is_an_error() {
    let bench = bench();
    let mut kept = None;
    bench.serve(|_, depot| kept = Some(depot.open(&bench.uid).expect("opened")));
    let mut byte = [0];
    assert!(matches!(kept.expect("kept").read_at(0, &mut byte), Err(Fault::Data(_))));
}

#[test]
fn without_overlays_nothing_is_written_and_a_bad_folder_is_reported_at_once() {
    let bench = bench();
    let site = || Site::open(&bench.config, &bench.notes, Access::Read).expect("opened");
    serve(site(), &Options { overlays: None }, |depot| {
        let image = depot.open(&bench.uid)?;
        assert!(matches!(image.write_at(0, &[1]), Err(Fault::ReadOnly)));
        assert!(matches!(image.zero(0..1), Err(Fault::ReadOnly)));
        Ok(())
    })
    .expect("served");
    let options = Options { overlays: Some("/nonexistent".into()) };
    let error = serve(site(), &options, |_| Ok(())).expect_err("refused").to_string();
    assert!(error.contains("cachedir /nonexistent"), "{error}");
}

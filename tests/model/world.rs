//! An installation, its expected content, and counters of events.

use super::image::{BLOCK, Image};
use crate::common::install::Install;
use backy2::config::{self, Config, Origin};
use backy2::engine::{Access, Site, init};
use backy2::monitor::{Level, Monitor, Progress, Silent};
use backy2::types::error::Signal;
use backy2::types::remedy::Remedy;
use backy2::types::uid::VersionUid;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

/// A monitor that interrupts the work after a while, and notes which version was begun.
#[derive(Default)]
pub struct Double {
    /// The number of blocks until the interruption; if negative, there is none.
    pub patience: AtomicI64,
    pub created: Mutex<Option<String>>,
}

impl Monitor for Double {
    fn progress(&self, _: &Progress<'_>) {
        if self.patience.load(Ordering::Relaxed) > 0 {
            self.patience.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn advise(&self, _: Level, _: &str, _: &[Remedy]) {}

    fn version_created(&self, uid: &VersionUid) {
        *self.created.lock().expect("not poisoned") = Some(uid.to_string());
    }

    fn interrupted(&self) -> Option<Signal> {
        (self.patience.load(Ordering::Relaxed) == 0).then_some(Signal::Terminate)
    }
}

/// The expected content of a version.
#[derive(Clone, Debug)]
pub struct Expected {
    pub name: String,
    pub image: Image,
    /// False as long as it is incomplete and can be continued.
    pub finished: bool,
}

macro_rules! seen {
    ($($what:ident),* $(,)?) => {
        /// Events and how often they happened.
        #[derive(Debug, Default)]
        pub struct Seen { pub steps: u64, $(pub $what: u64),* }

        impl std::ops::AddAssign for Seen {
            fn add_assign(&mut self, other: Seen) {
                self.steps += other.steps;
                $(self.$what += other.$what;)*
            }
        }

        impl Seen {
            pub fn assert_all(&self) {
                $(assert!(self.$what > 0, "{} did not occur: {self:?}", stringify!($what));)*
            }
        }
    };
}

seen! {
    backups, dedup_hits, bases, hints, holes, mismatches, interruptions, continued, removed, fast_cleanups,
    full_cleanups, blobs_cleaned, damaged, repaired, scrubs, bad_scrubs, restores, bad_restores, exports, imports,
    imports_refused, encrypted, plain, rebuilt,
}

/// Parses a number from a row.
pub fn number(text: &Option<String>) -> usize {
    text.as_deref().and_then(|text| text.parse().ok()).expect("a number")
}

pub struct World {
    pub install: Install,
    pub config: Config,
    pub monitor: Double,
    pub random: fastrand::Rng,
    pub versions: BTreeMap<String, Expected>,
    /// The original data of stored blobs.
    pub stored: BTreeMap<String, Vec<u8>>,
    /// Blobs whose data in the store was changed or deleted.
    pub damaged: BTreeSet<String>,
    /// Damaged blobs that the program has found.
    pub found_bad: BTreeSet<String>,
    /// The uids and texts of dumps, and the expected content of their versions.
    pub dumps: Vec<(String, String, Expected)>,
    /// Blobs that have had a row at some time.
    pub named_once: BTreeSet<String>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let install = Install::in_memory(BLOCK as u32);
        install.set("encryption_version", if random.bool() { "1" } else { "0" });
        let config = config::load(&Origin::File(install.path("backy.cfg")), &config::Places::of_system())
            .expect("a configuration");
        init::database(&config, &Silent).expect("a database");
        let monitor = Double::default();
        monitor.patience.store(-1, Ordering::Relaxed);
        World {
            install,
            config,
            monitor,
            random,
            versions: BTreeMap::new(),
            stored: BTreeMap::new(),
            damaged: BTreeSet::new(),
            found_bad: BTreeSet::new(),
            dumps: Vec::new(),
            named_once: BTreeSet::new(),
        }
    }

    pub fn site(&self) -> Site<'_> {
        Site::open(&self.config, &self.monitor, Access::Write).expect("opened")
    }

    /// A random version that `fits`.
    pub fn some(&mut self, fits: impl Fn(&World, &str, &Expected) -> bool) -> Option<String> {
        let uids: Vec<&String> = self
            .versions
            .iter()
            .filter(|(uid, version)| fits(self, uid, version))
            .map(|(uid, _)| uid)
            .collect();
        let uids: Vec<String> = uids.into_iter().cloned().collect();
        self.random.choice(uids)
    }

    /// The blob of each block of a version: `None` without a row, an empty text for a hole.
    pub fn blobs_of(&self, uid: &str) -> Vec<Option<String>> {
        let sql = format!(
            "SELECT m.block_id, coalesce(b.uid, '') FROM block_map m JOIN blobs b ON b.id = m.blob_id
             JOIN versions v ON v.id = m.version_id WHERE v.uid = '{uid}'"
        );
        let mut blobs = vec![None; self.versions[uid].image.blocks.len()];
        for mut row in self.install.table(&sql) {
            let blob = row.pop().expect("two columns");
            blobs[number(&row[0])] = blob;
        }
        blobs
    }

    /// Whether the version is marked valid in the database.
    pub fn is_valid(&self, uid: &str) -> bool {
        self.install.count(&format!("SELECT valid FROM versions WHERE uid = '{uid}'")) == 1
    }

    /// Keeps the data of blobs that are new since the last call, and returns their uids.
    pub fn take_stock(&mut self) -> Vec<String> {
        let stored = self.install.stored_uids();
        let new: Vec<String> = stored.into_iter().filter(|uid| !self.stored.contains_key(uid)).collect();
        for uid in &new {
            self.stored.insert(uid.clone(), std::fs::read(self.install.blob(uid)).expect("a blob"));
        }
        self.named_once.extend(self.install.named_uids());
        new
    }

    /// The blocks that a restore cannot get right, because their blobs are damaged or missing.
    pub fn bad_blocks(&self, uid: &str) -> BTreeSet<usize> {
        let blobs = self.blobs_of(uid);
        let bad = |blob: &Option<String>| blob.as_ref().is_none_or(|blob| self.damaged.contains(blob));
        blobs.iter().enumerate().filter(|(_, blob)| bad(blob)).map(|(id, _)| id).collect()
    }
}

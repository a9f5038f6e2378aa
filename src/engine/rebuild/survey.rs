//! What is in the store: its blobs, its versions, and the lists of blobs.

use super::vault::{Skipped, Vault, uid_in};
use crate::copies::{CopiedVersion, CopyError};
use crate::flow::objects::Usable;
use crate::monitor::{Activity, Monitor, Progress};
use crate::store::BlobStore;
use crate::sys::memory;
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::keys::BlobId;
use crate::types::object::{ObjectFolder, ObjectName};
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;

/// Number of blobs between two looks for a signal while they are listed.
const LOOK: usize = 1024;

/// The names of all blobs in the store, as digests of 8 bytes, so that many of them fit into memory. That two of
/// a hundred million are equal has a chance of one in a thousand, and would hide the loss of one blob from a rebuild, not
/// from a scrub.
pub(super) struct Stored {
    digests: Vec<u64>,
    /// Whether a list has the blob.
    listed: Vec<bool>,
}

impl Stored {
    /// Lists the blobs of a store.
    fn list(store: &dyn BlobStore, monitor: &dyn Monitor) -> Result<Self> {
        let mut digests = Vec::new();
        store.list("", &mut |uid| {
            if digests.len() % LOOK == 0 {
                monitor.check()?;
                memory::reserve(&mut digests, LOOK)?;
            }
            digests.push(digest(uid));
            Ok(())
        })?;
        digests.sort_unstable();
        digests.dedup();
        let listed = vec![false; digests.len()];
        Ok(Stored { digests, listed })
    }

    /// Whether the store has a blob. It counts as listed from now on.
    pub(super) fn has(&mut self, uid: &BlobUid) -> bool {
        let found = self.digests.binary_search(&digest(uid));
        found.inspect(|at| self.listed[*at] = true).is_ok()
    }

    /// Number of blobs.
    pub(super) fn count(&self) -> u64 {
        self.digests.len() as u64
    }

    /// Number of blobs that no list has.
    pub(super) fn unlisted(&self) -> u64 {
        self.listed.iter().filter(|listed| !**listed).count() as u64
    }

    /// Begins anew: no blob counts as listed.
    pub(super) fn forget(&mut self) {
        self.listed.fill(false);
    }
}

fn digest(uid: &BlobUid) -> u64 {
    let hash = blake3::hash(uid.as_str().as_bytes());
    hash.as_bytes()[..8].iter().fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}

/// What identifies a version and its place among others.
pub(super) struct Head {
    pub(super) object: ObjectName,
    pub(super) name: String,
    pub(super) date: Timestamp,
}

/// What is in the store.
pub(super) struct Survey {
    pub(super) stored: Stored,
    /// The readable versions, by name, then date, so that neighbours have many blocks in common.
    pub(super) versions: Vec<Head>,
    /// The lists of blobs, in the order of their names.
    pub(super) lists: Vec<ObjectName>,
    /// The row keys that the versions name.
    pub(super) named: BlockSet,
    /// Those of them that are known to be bad.
    pub(super) bad: BlockSet,
    /// The highest row key of a version.
    pub(super) last_version: i64,
    /// The settings of the installation, as the newest version has them.
    pub(super) settings: Option<(String, u32)>,
    /// Versions that cannot be read.
    pub(super) skipped: Vec<Skipped>,
}

impl Survey {
    /// Lists the blobs, and reads all versions once.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Resources`], a signal.
    pub(super) fn new(vault: &Vault<'_>, monitor: &dyn Monitor) -> Result<Self> {
        show(monitor, "1/4: listing the blobs", 0, 1);
        let stored = Stored::list(&*vault.store, monitor)?;
        let names = vault.names(ObjectFolder::Versions)?;
        let lists = vault.names(ObjectFolder::Index)?;
        let mut survey = Survey {
            stored,
            versions: Vec::new(),
            lists,
            named: BlockSet::default(),
            bad: BlockSet::default(),
            last_version: 0,
            settings: None,
            skipped: Vec::new(),
        };
        let (mut done, mut newest) = (0, None);
        vault.each(&names, &decode_version, &mut |object, read| {
            done += 1;
            show(monitor, "2/4: reading the versions", done, names.len() as u64);
            match read.and_then(|copied| named_as(object, copied)) {
                Ok(copied) => survey.take(object, &copied, &mut newest),
                Err(why) => survey.skipped.push(Skipped { object: object.to_string(), why }),
            }
            Ok::<(), Error>(())
        })?;
        survey.versions.sort_by(|a, b| (&a.name, a.date, &a.object).cmp(&(&b.name, b.date, &b.object)));
        Ok(survey)
    }

    fn take(&mut self, object: &ObjectName, copied: &CopiedVersion, newest: &mut Option<Timestamp>) {
        self.named = self.named.union(&blobs_of(copied));
        self.bad =
            self.bad.union(&copied.bad.iter().filter_map(|id| row_key(*id)).map(|id| id..id + 1).collect());
        let version = &copied.version;
        self.last_version = self.last_version.max(version.key.0);
        if newest.is_none_or(|newest| newest <= version.date) {
            *newest = Some(version.date);
            self.settings = Some((copied.hash_function.clone(), copied.block_size));
        }
        self.versions.push(Head { object: object.clone(), name: version.name.clone(), date: version.date });
    }
}

/// Reads the bytes of a version.
pub(super) fn decode_version(bytes: &[u8]) -> Usable<CopiedVersion> {
    CopiedVersion::decode(bytes).map_err(unreadable)
}

/// Why an object cannot be used, as the end of a sentence that begins with its name.
pub(super) fn unreadable(error: CopyError) -> String {
    format!("cannot be used: {error}")
}

/// The version, if it has the uid that its object is named after.
pub(super) fn named_as(object: &ObjectName, copied: CopiedVersion) -> Usable<CopiedVersion> {
    if uid_in(object) == copied.version.uid {
        return Ok(copied);
    }
    Err(format!("cannot be used: it is the version {}", copied.version.uid))
}

/// The row keys of the blobs of a version.
pub(super) fn blobs_of(copied: &CopiedVersion) -> BlockSet {
    let extents = copied.blocks.extents().iter();
    extents.filter_map(|e| row_key(e.blob).map(|first| first..first.saturating_add(e.count))).collect()
}

/// The row key of a blob as an unsigned number; `None` for a hole.
pub(super) fn row_key(id: BlobId) -> Option<u64> {
    u64::try_from(id.0).ok().filter(|id| *id > 0)
}

pub(super) fn show_check(monitor: &dyn Monitor, step: &str, done: u64, total: u64) {
    monitor.progress(&Progress::new(Activity::Compare { step }, done, total, 0));
}

pub(super) fn show(monitor: &dyn Monitor, step: &str, done: u64, total: u64) {
    monitor.progress(&Progress::new(Activity::Rebuild { step }, done, total, 0));
}

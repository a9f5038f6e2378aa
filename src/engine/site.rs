//! An opened installation: its database, store, locks and keys.

use super::claims::FileRegister;
use super::{lock_dir, names};
use crate::config::{Config, Parallel};
use crate::crypt::Keyring;
use crate::flow::fetch::{Fetch, Plain};
use crate::flow::probe;
use crate::hash::Hasher;
use crate::io::{self, UrlKind};
use crate::locks::{Guard, Locks, ServerRegister};
use crate::meta::claims::Record;
use crate::meta::url::DatabaseUrl;
use crate::meta::{self, Access, LockTables, Metadata, Opened, VersionFilter};
use crate::monitor::Monitor;
use crate::store::BlobStore;
use crate::types::error::{Error, Result};
use crate::types::remedy::Remedy;
use crate::types::version::Version;
use std::collections::BTreeSet;

pub(super) mod store;
mod wrong_store;

pub use store::Use;

/// Whether a command needs the right key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// It reads encrypted blobs, or writes them.
    Needed,
    /// It writes blobs that are not encrypted, and reads none.
    Unneeded,
}

/// An opened installation.
pub struct Site<'a> {
    /// Its settings.
    pub config: &'a Config,
    /// Receives messages and progress.
    pub monitor: &'a dyn Monitor,
    /// Its metadata.
    pub meta: Metadata,
    /// Its locks.
    pub locks: Locks,
    /// Its master key.
    pub keys: Keyring,
    /// Its hash function.
    pub hasher: Hasher,
    /// What this command changes about versions has a higher token than this in the list of due copies. `None` if the
    /// command changes nothing.
    pub(super) changes_since: Option<i64>,
    /// Whether the store may have blobs without encryption, as its identity says when the store was opened.
    pub(super) plain: Plain,
    /// The unreadable rows that were reported already.
    reported: BTreeSet<String>,
}

impl<'a> Site<'a> {
    /// Opens the installation, and upgrades a database of an older release.
    ///
    /// # Errors
    /// Another process has exclusive use; the database is missing, not initialised or unusable.
    pub fn open(config: &'a Config, monitor: &'a dyn Monitor, access: Access) -> Result<Self> {
        let mut locks = lock_dir::locks(config)?;
        if !matches!(access, Access::Observe | Access::Glance) {
            locks.startup_check()?;
        }
        let mut meta = open_database(config, &mut locks, monitor, access)?;
        if access.writes() {
            meta.keep_reserve();
        }
        let changes_since = if access.may_change() { meta.last_due()? } else { None };
        let site = Site {
            config,
            monitor,
            meta,
            changes_since,
            locks,
            keys: Keyring::new(config.encryption_key.as_ref()),
            hasher: Hasher::new(config.hash_function),
            plain: Plain::Accepted,
            reported: BTreeSet::new(),
        };
        // A signal may have arrived during an upgrade or a wait for the database.
        monitor.check()?;
        if access.writes() {
            site.meta.check_writable()?;
        }
        Ok(site)
    }

    /// Opens another connection to the metadata, for reading while the first one is in use. It shares the locks.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub fn reader(&self) -> Result<Metadata> {
        let url = DatabaseUrl::parse(&self.config.meta.engine)?;
        Metadata::open(&url, self.monitor.handle())
    }

    /// The versions that pass `filter`, sorted by name, then date. Versions with unreadable rows are left out and
    /// reported once.
    ///
    /// # Errors
    /// The database fails.
    pub fn versions(&mut self, filter: &VersionFilter) -> Result<Vec<Version>> {
        let listed = self.meta.versions(filter)?;
        for why in listed.unreadable {
            if self.reported.insert(why.clone()) {
                self.monitor.warning(&left_out(&why));
            }
        }
        Ok(listed.versions)
    }

    /// Finds the version that `text` means (see [`names::find`]) and pins it: it cannot be removed as long as the guard
    /// lives.
    ///
    /// # Errors
    /// There is no such version, or it is locked because it is being written or removed.
    pub fn pin(&mut self, text: &str) -> Result<(Version, Guard)> {
        let uid = names::find(self, text)?.uid;
        let guard = self.locks.pin(&uid)?;
        // Read it again: it may have been removed before it was pinned.
        let version = self.meta.version(&uid)?;
        if let Some(block) = self.meta.stray_row(&version)? {
            self.monitor.warning(&format!(
                "The database is damaged: version {uid} has {} blocks, and a row for block {block}. Such \
                 rows are ignored.",
                version.size
            ));
        }
        Ok((version, guard))
    }

    /// Finds a version and locks it exclusively.
    ///
    /// # Errors
    /// There is no such version, or it is locked because it is in use.
    pub fn own(&mut self, text: &str) -> Result<(Version, Guard)> {
        let uid = names::find(self, text)?.uid;
        let guard = self.locks.own(&uid)?;
        Ok((self.meta.version(&uid)?, guard))
    }

    /// Checks that the block size, the hash function and the key fit `version`, or the whole store. With wrong ones, all
    /// data would look damaged.
    ///
    /// # Errors
    /// [`Error::WrongKey`], [`Error::Config`].
    pub fn probe(&mut self, store: &dyn BlobStore, version: Option<&Version>, key: Key) -> Result<()> {
        probe::block_size(&mut self.meta, self.config.block_size, version)?;
        if key == Key::Needed {
            probe::key(&mut self.meta, &self.keys, version)?;
        }
        let fetch = Fetch::new(store, &self.keys, self.hasher, 1, 0);
        let probed = probe::hash_function(&mut self.meta, &fetch);
        fetch.tell_doubts(self.monitor);
        probed
    }

    /// Number of requests to the source or target at `url` that may be in progress at the same time.
    ///
    /// # Errors
    /// The URL is of an unknown kind.
    pub fn parallel(&self, url: &str) -> Result<Parallel> {
        Ok(match io::kind(url)? {
            UrlKind::File => self.config.io.file,
            UrlKind::Null => self.config.io.null,
            UrlKind::Rbd => self.config.io.rbd.parallel,
        })
    }
}

/// The warning about a version with an unreadable row.
pub(super) fn left_out(why: &str) -> String {
    format!("The database is damaged, and a version is ignored: {why}.")
}

/// Opens the configured database for a command. From then on, `locks` are registered in it.
pub(super) fn open_database(
    config: &Config,
    locks: &mut Locks,
    monitor: &dyn Monitor,
    access: Access,
) -> Result<Metadata> {
    let alone = || locks.upgrade(&config.process_name);
    let opened = meta::open(&config.meta.engine, access, &config.cachedir, monitor, alone);
    let Opened { metadata, register } = opened.map_err(|error| match error {
        // A database without tables may be a new one.
        Error::Database(reason) if !store::is_used(config, monitor) => {
            Error::Database(reason.without(&Remedy::RebuildDatabase))
        }
        error => error,
    })?;
    match register {
        LockTables::None => return Ok(metadata),
        LockTables::File(claims) => {
            // A command that only reads must not wait for others that write.
            let record = match access {
                Access::Write | Access::Copy => Record::Required,
                _ => Record::Optional,
            };
            locks.share(FileRegister::new(claims, record));
        }
        LockTables::Server { address, fence } => {
            locks.share(ServerRegister::new(*address, monitor.handle(), fence));
        }
    }
    // A command that only lists disturbs no other, and one that copies checks itself that it runs alone.
    if !access.only_lists() && !matches!(access, Access::Observe | Access::Copy) {
        locks.shared_check()?;
    }
    Ok(metadata)
}

/// Access to the blobs in `store`, with the configured limits.
pub(super) fn fetch<'f>(
    config: &Config,
    store: &'f dyn BlobStore,
    keys: &'f Keyring,
    hasher: Hasher,
) -> Fetch<'f> {
    Fetch::new(store, keys, hasher, config.data.simultaneous_reads, config.data.bandwidth_read)
}

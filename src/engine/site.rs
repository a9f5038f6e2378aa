//! An installation, opened: its database, its store, its locks and its keys.

use super::claims::FileRegister;
use super::{lock_dir, names};
use crate::config::{Config, Parallel};
use crate::crypt::Keyring;
use crate::flow::fetch::Fetch;
use crate::flow::probe;
use crate::hash::Hasher;
use crate::io::{self, UrlKind};
use crate::locks::{Database, Guard, Locks};
use crate::meta::url::DatabaseUrl;
use crate::meta::{self, Access, LockTables, Metadata, Opened, VersionFilter};
use crate::monitor::Monitor;
use crate::store::{self, BlobStore};
use crate::types::error::Result;
use crate::types::version::Version;
use std::collections::BTreeSet;

/// An opened installation.
pub struct Site<'a> {
    /// Its settings.
    pub config: &'a Config,
    /// Who is told.
    pub monitor: &'a dyn Monitor,
    /// Its metadata.
    pub meta: Metadata,
    /// Its locks.
    pub locks: Locks,
    /// Its master key.
    pub keys: Keyring,
    /// Its hash function.
    pub hasher: Hasher,
    /// What was told of rows that cannot be read.
    told: BTreeSet<String>,
}

impl<'a> Site<'a> {
    /// Opens the installation, and upgrades a database of an older release.
    ///
    /// # Errors
    /// Another process has exclusive use; the database is missing, not initialised or unusable.
    pub fn open(config: &'a Config, monitor: &'a dyn Monitor, access: Access) -> Result<Self> {
        let mut locks = lock_dir::locks(config)?;
        if access != Access::Observe {
            locks.startup_check()?;
        }
        let meta = open_database(config, &mut locks, monitor, access)?;
        if access.writes() {
            meta.keep_reserve();
        }
        let site = Site {
            config,
            monitor,
            meta,
            locks,
            keys: Keyring::new(config.encryption_key.as_ref()),
            hasher: Hasher::new(config.hash_function),
            told: BTreeSet::new(),
        };
        // A signal that came while the database was upgraded, or waited for, has not been seen by anybody.
        monitor.check()?;
        if access.writes() {
            site.meta.check_writable()?;
        }
        Ok(site)
    }

    /// Another connection to the metadata, to read by while this one is at work. Locks are those of this one.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn reader(&self) -> Result<Metadata> {
        let url = DatabaseUrl::parse(&self.config.meta.engine)?;
        Metadata::open(&url, self.monitor.handle())
    }

    /// Opens the data store.
    ///
    /// # Errors
    /// The credentials of a bucket are missing.
    pub fn open_store(&self) -> Result<Box<dyn BlobStore + 'a>> {
        store::open(&self.config.data, self.monitor)
    }

    /// The versions that pass `filter`, by name, then date. Those whose rows cannot be read are left out, and told once.
    ///
    /// # Errors
    /// The database fails.
    pub fn versions(&mut self, filter: &VersionFilter) -> Result<Vec<Version>> {
        let listed = self.meta.versions(filter)?;
        for why in listed.unreadable {
            if self.told.insert(why.clone()) {
                self.monitor.warning(&left_out(&why));
            }
        }
        Ok(listed.versions)
    }

    /// Finds the version that `text` means (see [`names::find`]) and pins it: `rm` of it fails as long as the
    /// guard lives.
    ///
    /// # Errors
    /// There is none, or it is locked because it is being written or removed.
    pub fn pin(&mut self, text: &str) -> Result<(Version, Guard)> {
        let uid = names::find(self, text)?.uid;
        let guard = self.locks.pin(&uid)?;
        // It may have been removed before it was pinned.
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

    /// Finds a version and locks it for ourselves.
    ///
    /// # Errors
    /// There is none, or it is locked because it is in use.
    pub fn own(&mut self, text: &str) -> Result<(Version, Guard)> {
        let uid = names::find(self, text)?.uid;
        let guard = self.locks.own(&uid)?;
        Ok((self.meta.version(&uid)?, guard))
    }

    /// Refuses to go on with a wrong block size, key (if `with_key`) or hash function, for `version` or for the
    /// whole store: everything would look damaged.
    ///
    /// # Errors
    /// [`Error::WrongKey`], [`Error::Config`].
    pub fn probe(&mut self, store: &dyn BlobStore, version: Option<&Version>, with_key: bool) -> Result<()> {
        probe::block_size(&mut self.meta, self.config.block_size, version)?;
        if with_key {
            probe::key(&mut self.meta, &self.keys, version)?;
        }
        let fetch = Fetch::new(store, &self.keys, self.hasher, 1, 0);
        let probed = probe::hash_function(&mut self.meta, &fetch);
        fetch.tell_doubts(self.monitor);
        probed
    }

    /// How many requests to a source or target of that URL may be under way at the same time.
    ///
    /// # Errors
    /// The URL names nothing that is known.
    pub fn parallel(&self, url: &str) -> Result<Parallel> {
        Ok(match io::kind(url)? {
            UrlKind::File => self.config.io.file,
            UrlKind::Null => self.config.io.null,
            UrlKind::Rbd => self.config.io.rbd.parallel,
        })
    }
}

/// What is told of a version whose row cannot be read.
pub(super) fn left_out(why: &str) -> String {
    format!("The database is damaged, and a version is ignored: {why}.")
}

/// Opens the configured database for a command, and registers locks in it from now on.
pub(super) fn open_database(
    config: &Config,
    locks: &mut Locks,
    monitor: &dyn Monitor,
    access: Access,
) -> Result<Metadata> {
    let alone = || locks.upgrade(&config.process_name);
    let Opened { metadata, register } =
        meta::open(&config.meta.engine, access, &config.cachedir, monitor, alone)?;
    match register {
        LockTables::None => return Ok(metadata),
        LockTables::File(claims) => {
            // A command that only reads must not wait for others that write.
            let waits = matches!(access, Access::Write | Access::Copy);
            locks.share(FileRegister::new(claims, waits));
        }
        LockTables::Server { address, fence } => {
            locks.share(Database::new(*address, monitor.handle(), fence));
        }
    }
    // A command that only lists disturbs nobody, and one that copies makes sure that it is alone.
    if !matches!(access, Access::Catalogue | Access::Observe | Access::Copy) {
        locks.shared_check()?;
    }
    Ok(metadata)
}

/// How blobs of `store` are read, with the configured limits.
pub(super) fn fetch<'f>(
    config: &Config,
    store: &'f dyn BlobStore,
    keys: &'f Keyring,
    hasher: Hasher,
) -> Fetch<'f> {
    Fetch::new(store, keys, hasher, config.data.simultaneous_reads, config.data.bandwidth_read)
}

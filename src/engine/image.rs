//! Random access to versions, for servers. Blocks are loaded on demand through a cache, and writes do not change any
//! version.
//!
//! [`serve`] opens everything and runs the threads that fetch blocks. A [`Depot`] opens images. Any number of threads
//! may read and write an [`Image`]. All images share one cache, and also the blocks of equal blobs.

mod ahead;
mod cache;
mod overlay;
mod pages;
mod rows;
mod view;

pub use view::{Extent, Extents, Image};

use super::copies::{Expected, Found, Seals};
use super::future;
use super::names::{self, Catalogue};
use super::site::{self, Key, Site, Use};
use crate::flow::fetch::Plain;
use crate::flow::loader::{self, Loader};
use crate::flow::probe;
use crate::locks::Locks;
use crate::meta::VersionFilter;
use crate::monitor::Level;
use crate::store::BlobStore;
use crate::types::block::Geometry;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::remedy::Remedy;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use cache::{Cache, Ticket};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The reasons why an image could not be read or written, as far as a client of a server needs them.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// The data is bad or could not be read. The reason was reported to the monitor.
    #[error("{0}")]
    Data(String),
    /// The range ends beyond the end of the image.
    #[error("the range is beyond the end of the image")]
    Range,
    /// The image was opened read-only.
    #[error("the image is read-only")]
    ReadOnly,
    /// There is no space left for written data.
    #[error("no space is left for written data")]
    Full,
    /// The temporary file for written data failed in another way.
    #[error("the temporary file for written data: {0}")]
    Overlay(String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::Full,
            _ => Fault::Overlay(error.to_string()),
        }
    }
}

/// Options for opening images.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder for written data; `None` if images are read-only.
    pub overlays: Option<PathBuf>,
}

/// All versions of an installation. Opens them as images.
pub struct Depot {
    meta: rows::Connection,
    locks: Locks,
    block_size: u32,
    cache: Arc<Cache>,
    loader: Loader<Ticket>,
    seals: Arc<Seals>,
    overlays: Option<PathBuf>,
    /// Texts that were reported already and must not be repeated.
    reported: Mutex<BTreeSet<String>>,
}

/// Opens the store, checks key, block size and hash function, and calls `serve` with all versions. After `serve`
/// returns, reads that are still waiting fail.
///
/// # Errors
/// Wrong settings, an unusable store, no folder for overlays, or an error of `serve`.
pub fn serve<R>(
    mut site: Site<'_>,
    options: &Options,
    serve: impl FnOnce(Arc<Depot>) -> Result<R>,
) -> Result<R> {
    let store = site.open_store(Use::Read)?;
    serve_from(site, &*store, options, serve)
}

fn serve_from<R>(
    mut site: Site<'_>,
    store: &dyn BlobStore,
    options: &Options,
    serve: impl FnOnce(Arc<Depot>) -> Result<R>,
) -> Result<R> {
    store.check()?;
    site.probe(store, None, Key::Needed)?;
    if let Some(folder) = &options.overlays {
        check_folder(folder)?;
    }
    let seals = Arc::new(Seals::open(&mut site, store)?);
    let Site { config, monitor, meta, locks, keys, hasher, .. } = site;
    let fetch = site::fetch(config, store, &keys, hasher);
    loader::run(&fetch, monitor, |loader| {
        serve(Arc::new(Depot {
            meta: meta.into(),
            locks,
            block_size: config.block_size,
            cache: Cache::new(config.mount_cache_size),
            loader,
            seals,
            overlays: options.overlays.clone(),
            reported: Mutex::default(),
        }))
    })
}

/// Reports an unusable folder before the mount, not at its first write.
fn check_folder(folder: &Path) -> Result<()> {
    let bad = |error| {
        let advice = "Changes to mounted versions are kept there. Set it to a writable folder.";
        Error::refused(
            because(format!("cachedir {}", folder.display()), error)
                .advise(advice)
                .remedy(Remedy::ServeReadOnly),
        )
    };
    overlay::Overlay::create(folder, 0).map(drop).map_err(bad)
}

impl Depot {
    /// A number that changes when versions, tags or expiries may have changed.
    ///
    /// # Errors
    /// The database fails.
    pub fn generation(&self) -> Result<u64> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner).change_counter()
    }

    /// All versions, sorted by name, then in the order in which they were made. Versions with unreadable rows are
    /// left out and reported once.
    ///
    /// # Errors
    /// The database fails.
    pub fn versions(&self) -> Result<Vec<Version>> {
        let mut versions = Catalogue::versions(&mut &*self, &VersionFilter::default())?;
        future::by_making(&mut versions, |version| version, Timestamp::now());
        Ok(versions)
    }

    /// The version that `text` means on the command line: see [`names::find`].
    ///
    /// # Errors
    /// Those of [`names::find`].
    pub fn find(&self, text: &str) -> Result<Version> {
        names::find(&mut &*self, text)
    }

    /// The version with this uid.
    ///
    /// # Errors
    /// [`Error::VersionNotFound`]; the database fails.
    pub fn version(&self, uid: &VersionUid) -> Result<Version> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner).version(uid)
    }

    /// Whether images can be written to.
    pub fn is_writable(&self) -> bool {
        self.overlays.is_some()
    }

    /// Opens the version with this uid, and pins it as long as the image exists.
    ///
    /// # Errors
    /// There is no such version; it is being written or removed; its block size is not the configured one; its rows are
    /// not those that were sealed when it was backed up.
    pub fn open(self: &Arc<Self>, uid: &VersionUid) -> Result<Image> {
        let pin = self.locks.pin(uid)?;
        let version = {
            let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
            let version = meta.version(uid)?;
            probe::block_size(&mut meta, self.block_size, Some(&version))?;
            version
        };
        let plain = self.check_rows(&version)?;
        let geometry = Geometry::new(version.size_bytes, self.block_size);
        Ok(Image::new(Arc::clone(self), version, plain, geometry, pin))
    }

    /// Compares the rows of a version with what was sealed. Returns whether its blobs may be without encryption.
    fn check_rows(&self, version: &Version) -> Result<Plain> {
        let (seals, uid) = (Arc::clone(&self.seals), version.uid.clone());
        let found = match self.loader.with_store(move |store| seals.find(store, &uid)) {
            Some(Ok(found)) => found,
            Some(Err(error)) => Found::Unusable(format!("cannot be read: {}", error.line())),
            None => return Err(Error::internal("the threads that read the store have ended")),
        };
        let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
        let Expected { seal, plain, faults, warning } = self.seals.expect(&mut meta, version, found)?;
        if let Some(warning) = warning {
            self.warn_once(warning, &[]);
        }
        if let Some(fault) = faults.into_iter().next() {
            return Err(Error::refused(fault));
        }
        if let Some((seal, key)) = seal.zip(self.seals.rows_key())
            && meta.row_sum(version, key)? != seal.sum
            && meta.missing(version)?.is_empty()
        {
            return Err(Error::refused(format!(
                "The rows of version {} are not those that were sealed when it was backed up. A restore writes what there is.",
                version.uid
            )));
        }
        Ok(plain)
    }

    /// Number of bytes of `version` that are stored, before compression. The other bytes are holes.
    ///
    /// # Errors
    /// The database fails.
    pub fn stored_bytes(&self, version: &Version) -> Result<u64> {
        let holes = self.meta.lock().unwrap_or_else(PoisonError::into_inner).hole_bytes(version)?;
        Ok(version.size_bytes.saturating_sub(holes))
    }

    /// Reports a text to the monitor of the server, with what the user can do about it. May be called from any thread.
    pub fn advise(&self, level: Level, text: String, remedies: &[Remedy]) {
        self.loader.advise(level, text, remedies);
    }

    /// Like [`Depot::advise`] with a warning, but reports each text only once.
    pub fn warn_once(&self, text: String, remedies: &[Remedy]) {
        if self.reported.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
            self.advise(Level::Warning, text, remedies);
        }
    }
}

impl Catalogue for &Depot {
    fn version(&mut self, uid: &VersionUid) -> Result<Version> {
        Depot::version(self, uid)
    }

    fn versions(&mut self, filter: &VersionFilter) -> Result<Vec<Version>> {
        let listed = self.meta.lock().unwrap_or_else(PoisonError::into_inner).versions(filter)?;
        for why in listed.unreadable {
            self.warn_once(site::left_out(&why), &[]);
        }
        Ok(listed.versions)
    }

    fn notice_lines(&self, lines: &[String]) {
        lines.iter().for_each(|line| self.advise(Level::Warning, line.clone(), &[]));
    }
}

#[cfg(test)]
mod tests;

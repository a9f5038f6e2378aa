//! Random access to versions, for servers: blocks on demand from a cache, and writes that change no version.
//!
//! [`serve`] opens what is needed and runs the threads that fetch; a [`Depot`] opens images; an [`Image`] is read and
//! written from any number of threads. One cache serves all images, and they share the blocks of equal blobs.

mod ahead;
mod cache;
mod overlay;
mod pages;
mod rows;
mod view;

pub use view::{Extent, Extents, Image};

use super::future;
use super::names::{self, Catalogue};
use super::site::{self, Site};
use crate::flow::loader::{self, Loader};
use crate::flow::probe;
use crate::locks::Locks;
use crate::meta::VersionFilter;
use crate::monitor::Level;
use crate::store::BlobStore;
use crate::types::block::Geometry;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use cache::{Cache, Ticket};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Why an image could not be read or written, as far as a client of a server is concerned.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// The data is bad or cannot be had. It was told to the monitor.
    #[error("{0}")]
    Data(String),
    /// The range is not within the image.
    #[error("the range is beyond the end of the image")]
    Range,
    /// The image was opened for reading only.
    #[error("the image is read-only")]
    ReadOnly,
    /// There is no space left for what is written.
    #[error("no space is left for written data")]
    Full,
    /// The temporary file of what is written failed in another way.
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

/// How images are opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where what is written is kept; `None`: nothing can be written.
    pub overlays: Option<PathBuf>,
}

/// All versions of an installation, to be opened as images.
pub struct Depot {
    meta: rows::Connection,
    locks: Locks,
    block_size: u32,
    cache: Arc<Cache>,
    loader: Loader<Ticket>,
    overlays: Option<PathBuf>,
    /// What was told once and need not be told again.
    told: Mutex<BTreeSet<String>>,
}

/// Opens the store, asks whether key, block size and hash function are the right ones, and calls `serve` with all
/// versions. When it returns, whatever somebody still reads fails.
///
/// # Errors
/// Wrong settings, a store that cannot be used, a folder for overlays that is not there; those of `serve`.
pub fn serve<R>(site: Site<'_>, options: &Options, serve: impl FnOnce(Arc<Depot>) -> Result<R>) -> Result<R> {
    let store = site.open_store()?;
    serve_from(site, &*store, options, serve)
}

fn serve_from<R>(
    mut site: Site<'_>,
    store: &dyn BlobStore,
    options: &Options,
    serve: impl FnOnce(Arc<Depot>) -> Result<R>,
) -> Result<R> {
    store.check()?;
    site.probe(store, None, true)?;
    if let Some(folder) = &options.overlays {
        check_folder(folder)?;
    }
    let Site { config, monitor, meta, locks, keys, hasher, .. } = site;
    let fetch = site::fetch(config, store, &keys, hasher);
    loader::run(&fetch, monitor, |loader| {
        serve(Arc::new(Depot {
            meta: meta.into(),
            locks,
            block_size: config.block_size,
            cache: Cache::new(config.mount_cache_size),
            loader,
            overlays: options.overlays.clone(),
            told: Mutex::default(),
        }))
    })
}

/// Better told before the mount than at its first write.
fn check_folder(folder: &Path) -> Result<()> {
    let bad = |error| {
        let advice =
            "Changes to mounted versions are kept there. Set it to a writable folder, or use --read-only.";
        Error::refused(because(format!("cachedir {}", folder.display()), error).advise(advice))
    };
    overlay::Overlay::create(folder, 0).map(drop).map_err(bad)
}

impl Depot {
    /// A number that changes whenever versions, tags or expiries may have changed.
    ///
    /// # Errors
    /// The database fails.
    pub fn generation(&self) -> Result<u64> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner).change_counter()
    }

    /// All versions, by name, then in the order of their making. Those whose rows cannot be read are left out, and told
    /// once.
    ///
    /// # Errors
    /// The database fails.
    pub fn versions(&self) -> Result<Vec<Version>> {
        let mut versions = Catalogue::versions(&mut &*self, &VersionFilter::default())?;
        future::by_making(&mut versions, |version| version, Timestamp::now());
        Ok(versions)
    }

    /// The version that `text` means, as the command line has it: see [`names::find`].
    ///
    /// # Errors
    /// As there.
    pub fn find(&self, text: &str) -> Result<Version> {
        names::find(&mut &*self, text)
    }

    /// One version.
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

    /// Opens the version of that uid, and pins it as long as the image lives.
    ///
    /// # Errors
    /// There is none; it is being written or removed; it has another block size than the configuration.
    pub fn open(self: &Arc<Self>, uid: &VersionUid) -> Result<Image> {
        let pin = self.locks.pin(uid)?;
        let version = {
            let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
            let version = meta.version(uid)?;
            probe::block_size(&mut meta, self.block_size, Some(&version))?;
            version
        };
        let geometry = Geometry::new(version.size_bytes, self.block_size);
        Ok(Image::new(Arc::clone(self), version, geometry, pin))
    }

    /// Bytes of `version` that are stored, before compression; the others are holes.
    ///
    /// # Errors
    /// The database fails.
    pub fn stored_bytes(&self, version: &Version) -> Result<u64> {
        let holes = self.meta.lock().unwrap_or_else(PoisonError::into_inner).hole_bytes(version)?;
        Ok(version.size_bytes.saturating_sub(holes))
    }

    /// Tells those who watch the server something, from any thread.
    pub fn say(&self, level: Level, text: String) {
        self.loader.say(level, text);
    }

    /// The same, but not what was told so before.
    pub fn warn_once(&self, text: String) {
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
            self.say(Level::Warning, text);
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
            self.warn_once(site::left_out(&why));
        }
        Ok(listed.versions)
    }

    fn notice(&self, text: &str) {
        self.say(Level::Warning, text.to_owned());
    }
}

#[cfg(test)]
mod tests;

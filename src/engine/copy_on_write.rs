//! Copy on write: data written to an image becomes a new version that shares all other blocks with the original.

use super::backup::backup_run::{self, BackupRun, Completed, Ends, begin};
use super::backup::{self, Made};
use super::copies::Copies;
use super::image::Image;
use super::{Access, Site, Use};
use crate::config::Config;
use crate::flow::coordinator::Tally;
use crate::flow::plan::{BaseBlocks, Plan};
use crate::io::Source;
use crate::locks::Guard;
use crate::monitor::Monitor;
use crate::types::block::Geometry;
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::hints::{Hint, Hints};
use crate::types::reason::because;
use crate::types::time::Timestamp;
use crate::types::version::Version;
use std::time::Instant;

/// Default name of such versions, as in 2.9. Their snapshot name is the uid of the original.
pub(crate) const NAME: &str = "copy on write";

/// Names and expiry of the new versions.
#[derive(Clone, Debug)]
pub(crate) struct CopyNaming {
    /// The name of the versions.
    pub name: String,
    /// When the versions may be removed, if the user gave a date.
    pub expire: Option<Timestamp>,
}

/// A version in the making. It gets its blocks after the image has been written.
pub(crate) struct Copy<'a> {
    site: Site<'a>,
    original: Version,
    version: Version,
    _lock: Guard,
}

impl<'a> Copy<'a> {
    /// Creates an empty version for the data that will be written to an image of `original`. It has no tags, so
    /// schedulers do not count it.
    ///
    /// # Errors
    /// The original is invalid, the database cannot be written, or settings are wrong.
    pub(crate) fn begin(
        config: &'a Config,
        monitor: &'a dyn Monitor,
        original: &Version,
        naming: &CopyNaming,
    ) -> Result<Self> {
        if !original.valid {
            return Err(Error::refused(format!(
                "Version {} is invalid: no copy can be made of it. Scrub it, or serve it read-only.",
                original.uid
            )));
        }
        let mut site = Site::open(config, monitor, Access::Write)?;
        let store = site.open_store(Use::Write)?;
        // An older copy of the database is refused now, and not after clients have written.
        Copies::open(&mut site, &*store)?;
        backup::check_settings(&mut site, &*store)?;
        let geometry = Geometry::new(original.size_bytes, config.block_size);
        let naming = backup_run::Naming {
            name: &naming.name,
            snapshot_name: original.uid.as_str(),
            tags: Vec::new(),
            expire: naming.expire,
            origin: None,
        };
        let (version, lock) = begin(&mut site, geometry, naming)?;
        Ok(Copy { site, original: original.clone(), version, _lock: lock })
    }

    /// The new version, which is invalid until it is complete.
    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    /// Stores the blocks of `image` that were written to, shares all others with the original, and makes the version
    /// valid. `image` must be an image of the original, and nobody may write to it any more.
    ///
    /// # Errors
    /// Those of a backup, and bad blocks of the original that were written only in part. The version then stays
    /// invalid.
    pub(crate) fn complete(mut self, image: &Image) -> Result<Made> {
        let started = Instant::now();
        let site = &mut self.site;
        let geometry = Geometry::new(self.original.size_bytes, site.config.block_size);
        let url = format!("data written to version {}", self.original.uid);
        image.arrived().map_err(|e| Error::Source {
            url: url.clone(),
            reason: because("it could not be written to the disk of cachedir", e),
        })?;
        let changed = image.changed().into_iter();
        let hints: Vec<Hint> = changed
            .map(|range| Hint { offset: range.start, length: range.end - range.start, exists: true })
            .collect();
        let source = Written { url, image };
        let hints = Hints::new(&hints, source.url(), geometry)?;
        let base = BaseBlocks { geometry, unusable: site.meta.unusable(&self.original)? };
        let plan = Plan::new(geometry, Some(&hints), Some(&base), &BlockSet::default());
        let store = site.open_store(Use::Write)?;
        let copies = Copies::open(site, &*store)?;
        let reads = site.config.data.simultaneous_reads;
        let ends =
            Ends { source: &source, reads, store: &*store, copies: copies.as_ref(), version: &self.version };
        let run = BackupRun::new(site, ends, Tally::default(), started);
        let Completed { row: run, stored } = run.complete(&plan, Some(&self.original), &self.version.name)?;
        if let Some(copies) = &copies {
            copies.catch_up(&mut self.site);
        }
        Ok(Made { version: self.site.meta.version(&self.version.uid)?, run, stored, tags: Vec::new() })
    }
}

/// An image as the source of a backup: the version plus the data written to it.
struct Written<'a> {
    url: String,
    image: &'a Image,
}

impl Source for Written<'_> {
    fn url(&self) -> &str {
        &self.url
    }

    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.image.read_at(offset, buffer).map_err(|fault| Error::Source {
            url: self.url.clone(),
            reason: because(format!("offset {offset}"), fault),
        })
    }
}

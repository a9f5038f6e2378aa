//! Checks whether an installation is sound. Marks nothing: that is the task of a scrub. It writes only copies of the
//! metadata, and only if it is asked to.
//!
//! The check consists of points, each of which has one result. If the database or the data store fails, that is the
//! result of one point, and later points that need it are not checked.

mod blobs;
mod clock;
mod copies;
mod database;
mod finding;
mod keys;
mod leftovers;
mod reading;
mod references;
mod settings;
mod space;
mod versions;

use super::Site;
use super::site::Use;
use crate::config::{Config, StoreConfig};
use crate::monitor::{Activity, Monitor, Progress};
use crate::store::{self, BlobStore};
use crate::types::error::{Error, Result};
use crate::types::keys::VersionKey;
use crate::types::time::Timestamp;
use std::collections::HashMap;

pub(crate) use finding::{Finding, Point, State};

/// The most things of one kind that a point names.
const NAMED: usize = 10;

/// Options of a check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Reads about this share of all blobs, in percent; 0 reads none.
    pub read: u8,
    /// Whether to write the copies of the metadata that are missing in the store or not up to date.
    pub write_metadata: WriteMetadata,
}

/// Whether a check writes copies of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteMetadata {
    /// It changes nothing.
    No,
    /// It writes those that are missing or not up to date.
    Yes,
}

/// Checks the installation, and calls `tell` with the result of each point as soon as it is known.
///
/// # Errors
/// `tell` fails; this machine has no memory or threads; a signal. A database or a store that fails is not an error but
/// the result of a point.
pub(crate) fn run(
    config: &Config,
    monitor: &dyn Monitor,
    options: Options,
    tell: &mut dyn FnMut(Finding) -> Result<()>,
) -> Result<()> {
    let began = Timestamp::now();
    let mut check = Check {
        config,
        monitor,
        began,
        site: None,
        store: None,
        fits: Fits::default(),
        rows: None,
        unfinished: Vec::new(),
        tell,
    };
    check.point(Point::Configuration, Need::Nothing, |check| Ok(settings::configuration(check)))?;
    check.point(Point::Folders, Need::Nothing, |check| Ok(settings::folders(check)))?;
    check.point(Point::Database, Need::Nothing, database::opens)?;
    check.point(Point::Structure, Need::Database, database::structure)?;
    check.point(Point::BlockSize, Need::Database, keys::block_size)?;
    check.point(Point::References, Need::Database, references::references)?;
    check.point(Point::MasterKey, Need::Database, keys::master_key)?;
    check.point(Point::Store, Need::Nothing, Check::open_store)?;
    check.point(Point::HashFunction, Need::Both, keys::hash_function)?;
    check.point(Point::Blobs, Need::Both, blobs::compare)?;
    if options.read > 0 {
        check.point(Point::Data, Need::Both, |check| reading::read(check, options.read))?;
    }
    let write = options.write_metadata;
    check.point(Point::Copies, Need::Both, |check| copies::copies(check, write))?;
    check.point(Point::Space, Need::Nothing, |check| Ok(space::space(check)))?;
    check.point(Point::Clock, Need::Nothing, clock::clock)?;
    check.point(Point::Locks, Need::Database, leftovers::locks)?;
    check.point(Point::Leftovers, Need::Nothing, |check| Ok(leftovers::files(check)))?;
    check.point(Point::Versions, Need::Database, versions::versions)
}

/// The parts of the installation that a point needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    Database,
    Both,
}

/// Settings that agree with what is stored. Without them, some points would find only consequences of the wrong setting.
#[derive(Clone, Copy, Debug, Default)]
struct Fits {
    block_size: bool,
    key: bool,
    hash_function: bool,
}

impl Fits {
    fn all(self) -> bool {
        self.block_size && self.key && self.hash_function
    }
}

/// A check in progress.
struct Check<'a, 't> {
    config: &'a Config,
    monitor: &'a dyn Monitor,
    /// When the check began.
    began: Timestamp,
    /// The database, unless it has failed.
    site: Option<Site<'a>>,
    /// The store, unless it has failed.
    store: Option<Box<dyn BlobStore + 'a>>,
    fits: Fits,
    /// The number of rows of each version, once it is known.
    rows: Option<HashMap<VersionKey, u64>>,
    /// Files that killed backups have left in the store.
    unfinished: Vec<String>,
    tell: &'t mut dyn FnMut(Finding) -> Result<()>,
}

impl<'a> Check<'a, '_> {
    /// Checks one point and tells its result.
    fn point(
        &mut self,
        point: Point,
        need: Need,
        work: impl FnOnce(&mut Self) -> Result<Finding>,
    ) -> Result<()> {
        self.monitor.check()?;
        let finding = match (need, &self.site, &self.store) {
            (Need::Database | Need::Both, None, _) => {
                Finding::not_checked("the database cannot be used (see above)")
            }
            (Need::Both, _, None) => Finding::not_checked("the data store cannot be used (see above)"),
            _ => match work(self) {
                Ok(finding) => finding,
                Err(error) => self.failed(error)?,
            },
        };
        (self.tell)(finding.of(point))
    }

    /// The result of a point that ended with an error. The part that has failed is not used again.
    ///
    /// # Errors
    /// The error itself, if it says nothing about the installation.
    fn failed(&mut self, error: Error) -> Result<Finding> {
        match &error {
            Error::Interrupted(_) | Error::Internal(_) | Error::Resources(_) => return Err(error),
            Error::Database(_) | Error::Metadata { .. } | Error::Full { .. } | Error::Locked(_) => {
                self.site = None;
            }
            Error::Store { .. } | Error::WrongStore { .. } => self.store = None,
            _ => {}
        }
        Ok(Finding::of_error(&error))
    }

    /// Opens the store, and checks whether it can be reached and written.
    fn open_store(&mut self) -> Result<Finding> {
        let store = match &mut self.site {
            Some(site) => site.open_store(Use::Read)?,
            None => store::open(&self.config.data, self.monitor)?,
        };
        store.check()?;
        let location = store.location();
        let writable = store.check_writable();
        self.store = Some(store);
        Ok(match writable {
            Ok(()) if matches!(self.config.data.store, StoreConfig::Null) => {
                Finding::warning("its type is null: it keeps no data, and nothing can be restored")
            }
            Ok(()) => Finding::good(format!("{location} can be reached and written")),
            Err(error) => Finding::of_error(&error),
        })
    }

    /// Shows that a step begins which may take long, and whose progress is not known.
    fn begin(&self, step: &str) {
        self.monitor.progress(&Progress::new(Activity::Check { step }, 0, 1, 0));
    }

    /// The opened database. Points that need it are not checked without it.
    fn site(&mut self) -> Result<&mut Site<'a>> {
        self.site.as_mut().ok_or_else(|| Error::internal("a point was checked without the database"))
    }

    /// The opened database and the opened store.
    fn both(&mut self) -> Result<(&mut Site<'a>, &(dyn BlobStore + 'a))> {
        match (&mut self.site, &self.store) {
            (Some(site), Some(store)) => Ok((site, &**store)),
            _ => Err(Error::internal("a point was checked without the database or the store")),
        }
    }
}

//! `rebuild`: makes a lost database anew from the copies of the metadata in the data store.
//!
//! The store says itself what it is, and the master key opens its key. Everything else is read from objects, each of
//! which is authentic or left out. The database is filled in one transaction.

mod check;
mod fill;
mod rows;
mod survey;
mod vault;

use super::{lock_dir, site};
use crate::config::Config;
use crate::failpoint;
use crate::meta::url::DatabaseUrl;
use crate::meta::{self, Access, Begun, Metadata, SchemaState};
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};
use crate::types::uid::VersionUid;
use fill::Fill;
use survey::Survey;
use vault::Vault;

pub use check::{Checked, Difference, run as check};
pub use vault::Skipped;

/// The result of a rebuild.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Number of versions.
    pub versions: u64,
    /// Number of blobs that they name.
    pub blobs: u64,
    /// Number of those that are missing in the store.
    pub missing: u64,
    /// Number of blobs in the store that no version names. The next cleanup deletes them, as after `rm`.
    pub unnamed: u64,
    /// Number of blobs in the store that no list has.
    pub unlisted: u64,
    /// Versions that were valid and are not any more.
    pub invalid: Vec<Invalid>,
    /// Objects that cannot be used.
    pub skipped: Vec<Skipped>,
}

/// A version that was valid and is not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Its uid.
    pub uid: VersionUid,
    /// Its name.
    pub name: String,
    /// Why it is not valid.
    pub loss: Loss,
}

/// What a version has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Some of its blobs are in no list that can be read.
    Unlisted,
    /// Its rows are not those that it had.
    Other,
    /// It has fewer or more blocks than its size says.
    Incomplete,
    /// Some of its blobs are missing, or were found bad.
    Blobs,
}

/// Rebuilds the configured database. Its tables are made if there are none.
///
/// # Errors
/// [`Error::Refused`]: the database is not empty, or the store has no copies of metadata. [`Error::WrongStore`]: the store
/// has no identity. [`Error::WrongKey`]: the master key does not open the key of the store. [`Error::Config`]: block size
/// or hash function are not those of the installation. The errors of the store and the database. The database has no rows
/// then.
pub fn run(config: &Config, monitor: &dyn Monitor) -> Result<Rebuilt> {
    let mut locks = lock_dir::locks(config)?;
    locks.startup_check()?;
    let url = DatabaseUrl::parse(&config.meta.engine)?;
    refuse_used(&url, monitor)?;
    let vault = Vault::open(config, monitor)?;
    let mut survey = Survey::new(&vault, monitor)?;
    check_copies(&vault, &survey)?;
    check_settings(config, &survey)?;
    vault.prove()?;
    match meta::create(&url, config.file_mode, monitor.handle()) {
        Ok(()) => {}
        // There are tables already.
        Err(Error::Refused(_)) => {}
        Err(error) => return Err(error),
    }
    failpoint::pass("rebuild-tables-made");
    let mut meta = site::open_database(config, &mut locks, monitor, Access::Write)?;
    let _exclusive = locks.exclusive(&config.process_name)?;
    meta.rebuild(|filling| {
        let rebuilt = Fill::new(&vault, &mut survey, filling, monitor).run()?;
        failpoint::pass("rebuild-before-commit");
        Ok(rebuilt)
    })
}

/// Refuses a database with rows, before the store is read. A database that does not exist yet, or has no tables, passes.
fn refuse_used(url: &DatabaseUrl, monitor: &dyn Monitor) -> Result<()> {
    // A file may be empty because an earlier attempt was killed.
    if let DatabaseUrl::File(path) = url
        && meta::begun(path) == Begun::Nothing
    {
        return Ok(());
    }
    let mut meta = Metadata::open(url, monitor.handle())?;
    match meta.state() {
        Ok(SchemaState::Current) => meta.refuse_rows(),
        Ok(_) => Err(Error::refused(format!(
            "The database {} was made by an older release. Nothing was changed. To rebuild it, move it away first, or \
             configure an empty one ([MetaBackend] engine).",
            meta.location()
        ))),
        // It has no tables. If they cannot be made, that is reported.
        Err(_) => Ok(()),
    }
}

/// Refuses a store that has blobs and no copies. One that has neither is that of an installation without versions.
fn check_copies(vault: &Vault<'_>, survey: &Survey) -> Result<()> {
    let has_copies = !(survey.versions.is_empty() && survey.lists.is_empty() && survey.skipped.is_empty());
    if !has_copies && survey.stored.count() > 0 {
        return Err(Error::refused(format!(
            "The data store {} has {} blobs and no copies of metadata, so that nothing can be rebuilt. If you have a copy \
             of the database or dumps of its versions (import), use these. Nothing was changed.",
            vault.store.location(),
            survey.stored.count()
        )));
    }
    Ok(())
}

/// Refuses settings with which all data would look damaged.
fn check_settings(config: &Config, survey: &Survey) -> Result<()> {
    let Some((hash_function, block_size)) = &survey.settings else { return Ok(()) };
    let ours = config.hash_function.to_string();
    if *hash_function == ours && *block_size == config.block_size {
        return Ok(());
    }
    Err(Error::config(format!(
        "The installation has the settings hash_function: {hash_function} and block_size: {block_size}, and the \
         configuration has {ours} and {}. Set them in the section [DEFAULTS]. Nothing was changed.",
        config.block_size
    )))
}

#[cfg(test)]
mod tests;

//! Notices a self-contained folder that was moved or copied although its configuration has absolute paths, as the first
//! installations had. Such a copy would write to the original.

use super::load::NAME;
use super::{Config, StoreConfig};
use crate::types::{Error, Result};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Refuses the configuration of `folder` if it leads to another self-contained folder, of which `folder` seems to be a
/// copy, or to the place from which `folder` was moved.
///
/// Paths to other places are fine, for example to data on another disk.
///
/// # Errors
/// [`Error::Config`], which names both folders.
pub(super) fn refuse(folder: &Path, config: &Config) -> Result<()> {
    // If the folder cannot be looked at, the files in it cannot be used either.
    let Ok(own) = fs::canonicalize(folder) else { return Ok(()) };
    for path in places(config) {
        for above in path.ancestors().skip(1) {
            if is_original(&own, above, &path) {
                return Err(Error::config(format!(
                    "{} leads to {}, in another installation: {} seems to be a copy of {}. A copy must not write to \
                     the original. {}",
                    own.join(NAME).display(),
                    path.display(),
                    own.display(),
                    above.display(),
                    advice(&own, above)
                )));
            }
        }
    }
    match database(config).filter(|path| was_moved(&own, path)) {
        Some(path) => Err(Error::config(format!(
            "{} leads to {}, and there is no such folder. Was {} moved? {}",
            own.join(NAME).display(),
            path.display(),
            own.display(),
            advice(&own, path.parent().unwrap_or(&path))
        ))),
        None => Ok(()),
    }
}

fn advice(own: &Path, other: &Path) -> String {
    format!("Replace {} in the paths of {} by {}.", other.display(), own.join(NAME).display(), own.display())
}

/// The database and the data store, if they are files, as absolute paths. Logs and locks may well be shared.
fn places(config: &Config) -> impl Iterator<Item = PathBuf> {
    let data = match &config.data.store {
        StoreConfig::File { path, .. } => Some(path.clone()),
        StoreConfig::Null | StoreConfig::S3(_) => None,
    };
    [database(config), data].into_iter().flatten().filter_map(|path| std::path::absolute(path).ok())
}

/// The file of the database, if it is one.
fn database(config: &Config) -> Option<PathBuf> {
    let (scheme, path) = config.meta.engine.split_once(":///")?;
    scheme.starts_with("sqlite").then(|| path.into())
}

/// Whether `above` is another installation than `own`, with a configuration that is the same, or with `path` where `own`
/// has a file or folder as well.
fn is_original(own: &Path, above: &Path, path: &Path) -> bool {
    let (mine, other) = (own.join(NAME), above.join(NAME));
    let (Ok(here), Ok(there)) = (fs::metadata(&mine), fs::metadata(&other)) else { return false };
    // The same folder can have several names, by links and mounts.
    if !there.is_file() || (here.dev(), here.ino()) == (there.dev(), there.ino()) {
        return false;
    }
    let twin = path.strip_prefix(above).is_ok_and(|below| is_used(&own.join(below)));
    twin || (here.len() == there.len() && fs::read(mine).ok() == fs::read(other).ok())
}

/// Whether there is a file or a folder that is not empty.
fn is_used(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) => e.kind() == ErrorKind::NotADirectory,
    }
}

/// Whether the folder of the database is gone, while `own` has such a file.
fn was_moved(own: &Path, database: &Path) -> bool {
    let parent = database.parent().filter(|parent| parent.is_absolute());
    let gone =
        parent.is_some_and(|parent| fs::metadata(parent).is_err_and(|e| e.kind() == ErrorKind::NotFound));
    gone && database.file_name().is_some_and(|name| own.join(name).is_file())
}

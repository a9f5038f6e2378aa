//! Chooses the folder for lock files.

use crate::config::Config;
use crate::locks::Locks;
use crate::meta::url::DatabaseUrl;
use crate::sys::private;
use crate::types::error::Result;
use crate::types::settings::FileMode;
use rustix::fs::{Access, access};
use rustix::process::geteuid;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The default `lock_dir` of release 2.13.
const OLD: &str = "/tmp";

/// Opens the lock files of the installation. Without `lock_dir` they are in a folder of their own, and also in that
/// of 2.13, which may run at the same time.
///
/// # Errors
/// The configured database URL is invalid.
pub(super) fn locks(config: &Config) -> Result<Locks> {
    if let Some(dir) = &config.lock_dir {
        return Ok(Locks::new(dir, config.file_mode));
    }
    let url = DatabaseUrl::parse(&config.meta.engine)?;
    let database = url.file();
    let mut owners = vec![0, geteuid().as_raw()];
    // 2.13 may run as the owner of the database.
    owners.extend(database.and_then(|path| fs::metadata(path).ok()).map(|metadata| metadata.uid()));
    let mode = config.file_mode;
    Ok(match own_folder(database, mode) {
        Some(dir) => Locks::new(&dir, mode).beside(Path::new(OLD), mode, &owners),
        None => Locks::new(Path::new(OLD), mode),
    })
}

/// The first usable folder: beside the database, or below `/run`. All users of a database find the same folder beside
/// it.
fn own_folder(database: Option<&Path>, mode: FileMode) -> Option<PathBuf> {
    let beside = database.map(|path| {
        let mut name = path.to_owned().into_os_string();
        name.push(".locks");
        PathBuf::from(name)
    });
    let runtime = if geteuid().is_root() {
        PathBuf::from("/run/backy2")
    } else {
        PathBuf::from(format!("/run/user/{}/backy2", geteuid().as_raw()))
    };
    [beside, Some(runtime)].into_iter().flatten().find(|dir| is_usable(dir, mode))
}

/// Makes the folder if necessary, and returns whether lock files can be made in it.
fn is_usable(dir: &Path, mode: FileMode) -> bool {
    // The checks below show whether the folder is there.
    let _ = private::make_folder(dir, mode);
    // A link is not accepted, because it may lead anywhere.
    fs::symlink_metadata(dir).is_ok_and(|metadata| metadata.is_dir())
        && access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_beside_the_database_and_has_the_configured_mode() {
        for (mode, folder_mode) in [("0600", 0o700), ("0660", 0o770)] {
            let parent = tempfile::tempdir().expect("tempdir");
            let database = parent.path().join("backy.sqlite");
            let mode = FileMode::parse(mode).expect("a mode");
            let dir = own_folder(Some(&database), mode).expect("made");
            assert_eq!(dir, parent.path().join("backy.sqlite.locks"));
            assert_eq!(fs::metadata(&dir).expect("there").mode() & 0o777, folder_mode);
            assert_eq!(own_folder(Some(&database), mode), Some(dir), "the same again");
        }
    }

    #[test]
    fn a_link_in_its_place_is_not_used() {
        let parent = tempfile::tempdir().expect("tempdir");
        let database = parent.path().join("backy.sqlite");
        std::os::unix::fs::symlink("/tmp", parent.path().join("backy.sqlite.locks")).expect("a link");
        let found = own_folder(Some(&database), FileMode::PRIVATE);
        assert_ne!(found, Some(parent.path().join("backy.sqlite.locks")));
    }
}

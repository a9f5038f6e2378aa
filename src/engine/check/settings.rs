//! The configuration, and the folders that it names.

use super::Check;
use super::finding::Finding;
use crate::config::Config;
use crate::meta::url::DatabaseUrl;
use crate::types::settings::FileMode;
use crate::types::text::plural;
use rustix::fs::{Access, access};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether the configuration has no warnings, and the program's own files are not more open than it says.
pub(super) fn configuration(check: &Check<'_, '_>) -> Finding {
    let mut details = check.config.warnings.clone();
    details.extend(files(check.config).filter_map(|path| too_open(path, check.config.file_mode)));
    if details.is_empty() {
        return Finding::good("it has no unknown settings, and its keys are private");
    }
    let number = plural(details.len() as u64, "warning", "warnings");
    Finding::warning(number).details(details)
}

/// The program's own files. The logfile may have the mode that `logrotate` gives it, so it does not count.
fn files(config: &Config) -> impl Iterator<Item = &Path> {
    let database = config.meta.engine.strip_prefix("sqlite:///").map(Path::new);
    database.into_iter()
}

/// A warning about a file with permissions that `file_mode` does not have.
fn too_open(path: &Path, mode: FileMode) -> Option<String> {
    let found = std::fs::metadata(path).ok()?.mode() & 0o777;
    let wanted = mode.file();
    (found & !wanted & 0o666 != 0).then(|| {
        format!(
            "{} has the mode {found:04o}, and file_mode is {wanted:04o}: run `chmod {wanted:o} {}`, or change \
             file_mode",
            path.display(),
            path.display()
        )
    })
}

/// Whether the folders for locks, temporary files, logs and metrics exist and can be used.
pub(super) fn folders(check: &Check<'_, '_>) -> Finding {
    let config = check.config;
    let logs = config.logfile.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut wanted = vec![("cachedir", &*config.cachedir)];
    wanted.extend(
        (config.nbd_cachedir != config.cachedir).then_some(("cachedir of [NBD]", &*config.nbd_cachedir)),
    );
    wanted.extend(config.lock_dir.as_deref().map(|folder| ("lock_dir", folder)));
    wanted.extend(logs.map(|folder| ("the folder of logfile", folder)));
    let metrics = config.metrics_file.as_deref().and_then(Path::parent);
    let metrics = metrics.filter(|folder| !folder.as_os_str().is_empty());
    wanted.extend(metrics.map(|folder| ("the folder of metrics_file", folder)));
    let url = DatabaseUrl::parse(&config.meta.engine).ok();
    let database = url.as_ref().and_then(DatabaseUrl::file).and_then(Path::parent);
    wanted.extend(database.map(|folder| ("the folder of the database", folder)));
    let bad: Vec<String> = wanted.iter().filter_map(|(what, folder)| trouble(what, folder)).collect();
    if bad.is_empty() {
        Finding::good("all exist and can be written")
    } else {
        Finding::wrong(plural(bad.len() as u64, "folder cannot be used", "folders cannot be used"))
            .details(bad)
            .advise("Make them or change their rights, or name others in the configuration")
    }
}

/// Why a folder cannot be used.
fn trouble(what: &str, folder: &Path) -> Option<String> {
    let shown = folder.display();
    match std::fs::metadata(folder) {
        Ok(found) if !found.is_dir() => Some(format!("{what}: {shown} is no folder")),
        Ok(_) => {
            let usable = access(folder, Access::WRITE_OK | Access::EXEC_OK);
            usable.err().map(|_| format!("{what}: {shown} cannot be written"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("{what}: {shown} does not exist"))
        }
        Err(error) => Some(format!("{what}: {shown} cannot be reached: {error}")),
    }
}

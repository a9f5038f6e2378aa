//! Locks, and files that killed runs have left.

use super::Check;
use super::finding::{Finding, Kind};
use crate::config::{Config, StoreConfig};
use crate::meta::url::DatabaseUrl;
use crate::types::error::Result;
use crate::types::remedy::Remedy;
use crate::types::text::plural;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Seconds after which an unchanged temporary file cannot belong to a running command.
const STALE: u64 = 24 * 3600;

/// The locks that are held, and those of dead processes.
pub(super) fn locks(check: &mut Check<'_, '_>) -> Result<Finding> {
    let locks = &check.site()?.locks;
    let dead = locks.dead()?;
    let text = match locks.held()?.len() as u64 {
        0 => "no other command holds a lock".to_owned(),
        number => format!("{} held (`backy2 locks` lists them)", plural(number, "lock is", "locks are")),
    };
    if dead.is_empty() {
        return Ok(Finding::good(text));
    }
    let mut kind = Kind::default();
    dead.iter().for_each(|holder| kind.add(|| holder.to_string()));
    let number = plural(kind.count, "lock is left", "locks are left");
    Ok(Finding::warning(format!(
        "{text}; {number} of processes that were killed. They do not count, and the next command that takes a lock removes them"
    ))
    .details(kind.lines("locks")))
}

/// Temporary files that no running command uses.
pub(super) fn files(check: &mut Check<'_, '_>) -> Finding {
    let mut kind = Kind::default();
    let in_store = !check.unfinished.is_empty();
    std::mem::take(&mut check.unfinished).into_iter().for_each(|name| kind.add(|| name));
    let mut elsewhere = 0;
    for path in stale(check.config) {
        elsewhere += 1;
        kind.add(|| path.display().to_string());
    }
    if kind.count == 0 {
        return Finding::good("no files of killed commands are left");
    }
    let text = plural(kind.count, "file of a killed command is left", "files of killed commands are left");
    let mut finding = Finding::warning(format!(
        "{text}, and only {} space",
        if kind.count == 1 { "takes" } else { "take" }
    ))
    .details(kind.lines("files"));
    if elsewhere > 0 {
        finding = finding.advise("Delete them");
    }
    if in_store { finding.remedy(Remedy::DeleteUnfinished) } else { finding }
}

/// Files with the names of the program's temporary files, which nothing has changed for a day.
fn stale(config: &Config) -> Vec<PathBuf> {
    let mut folders = vec![config.cachedir.clone()];
    folders.extend((config.nbd_cachedir != config.cachedir).then(|| config.nbd_cachedir.clone()));
    if let StoreConfig::File { path, .. } = &config.data.store {
        folders.push(path.clone());
    }
    let of_program = |name: &str| name.starts_with("backy2-") && name.ends_with(".tmp");
    let mut found: Vec<PathBuf> = folders.iter().flat_map(|folder| stale_in(folder, &of_program)).collect();
    let url = DatabaseUrl::parse(&config.meta.engine).ok();
    if let Some(file) = url.as_ref().and_then(DatabaseUrl::file)
        && let (Some(folder), Some(database)) = (file.parent(), file.file_name().and_then(OsStr::to_str))
    {
        // An upgrade that was killed.
        let of_database = |name: &str| {
            let ending = name.strip_prefix(database);
            ending.is_some_and(|ending| [".upgrade.part", ".before-upgrade.part"].contains(&ending))
        };
        found.extend(stale_in(folder, &of_database));
    }
    found.sort();
    found.dedup();
    found
}

fn stale_in(folder: &Path, is_ours: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let entries = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_ours));
    let is_old = |entry: &fs::DirEntry| {
        let changed = entry.metadata().and_then(|found| found.modified()).ok();
        changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age.as_secs() > STALE)
    };
    entries.filter(is_old).map(|entry| entry.path()).collect()
}

//! Free space for the store, the database and temporary files.

use super::Check;
use super::finding::Finding;
use crate::config::{Config, StoreConfig};
use crate::meta::url::DatabaseUrl;
use crate::sys::space::{self, Space};
use crate::types::text::plural;
use std::path::{Path, PathBuf};

/// Fewer bytes than these are little.
const LITTLE: u64 = 1 << 30;
/// Less than one of this many parts of the file system is little.
const PART: u64 = 20;

/// Whether there is enough free space.
pub(super) fn space(check: &Check<'_, '_>) -> Finding {
    let mut told: Vec<u64> = Vec::new();
    let mut short = Vec::new();
    let mut all = Vec::new();
    for (what, folder) in places(check.config) {
        let Some(space) = space::of(&folder) else { continue };
        let line = line(what, &folder, space);
        if is_short(space) {
            short.push(line.clone());
        }
        // Several folders of one file system are told once.
        if !told.contains(&space.device) {
            told.push(space.device);
            all.push(line);
        }
    }
    match short.len() {
        0 if all.is_empty() => Finding::good("all data is on servers"),
        0 => Finding::good(all.join("; ")),
        number => Finding::warning(plural(number as u64, "disk is nearly full", "disks are nearly full"))
            .details(short)
            .advise(
                "`backy2 rm` and `backy2 cleanup` make room; a full disk ends backups, and loses nothing",
            ),
    }
}

/// The local folders that grow.
fn places(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut places = Vec::new();
    if let StoreConfig::File { path, .. } = &config.data.store {
        places.push(("data store", path.clone()));
    }
    let url = DatabaseUrl::parse(&config.meta.engine).ok();
    let folder = url.as_ref().and_then(DatabaseUrl::file).and_then(Path::parent);
    places.extend(folder.map(|folder| ("database", folder.to_owned())));
    places.push(("cachedir", config.cachedir.clone()));
    if config.nbd_cachedir != config.cachedir {
        places.push(("cachedir of [NBD]", config.nbd_cachedir.clone()));
    }
    places
}

fn is_short(space: Space) -> bool {
    space.free < LITTLE || space.free < space.total / PART
}

fn line(what: &str, folder: &Path, space: Space) -> String {
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    let percent = space.free as f64 * 100.0 / space.total.max(1) as f64;
    format!(
        "{what}: {:.1} of {:.1} GiB free ({percent:.0} %) in {}",
        gib(space.free),
        gib(space.total),
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_short_below_either_limit() {
        let space = |free, total| Space { free, total, device: 0 };
        assert!(!is_short(space(LITTLE, 20 * LITTLE)));
        assert!(is_short(space(LITTLE - 1, LITTLE)), "less than 1 GiB, however small the disk is");
        assert!(is_short(space(10 * LITTLE, 201 * LITTLE)), "less than 5 percent");
        assert!(is_short(space(0, 0)));
    }

    #[test]
    fn a_line_has_numbers_and_a_place() {
        let space = Space { free: 3 << 29, total: 6 << 30, device: 0 };
        assert_eq!(
            line("database", Path::new("/srv"), space),
            "database: 1.5 of 6.0 GiB free (25 %) in /srv"
        );
    }
}

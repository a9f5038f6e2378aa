//! The configuration of a self-contained folder.

/// The text of the `backy.cfg` that `backy2 -b DIR init` writes.
///
/// `key_hex` is the new master key as 64 hex digits. All paths are relative to the folder of the file, so that the folder
/// can be moved and copied.
pub fn folder_template(key_hex: &str) -> String {
    format!(
        "# backy2: a self-contained folder. `backy2 -b DIR COMMAND` uses this file.
# Comments have lines of their own, and a percent sign is written as %%.

[DEFAULTS]
# Relative paths in this file begin at its own folder, so that the folder can be moved and copied.
relative_paths: folder
logfile: backy.log
lock_dir: lock
cachedir: cache
process_name: backy2
# Bytes of a block. It cannot be changed once there are versions.
block_size: 4194304
hash_function: sha512
# Versions younger than this are removed by force only.
disallow_rm_when_younger_than_days: 0
deduplication: 1
# Without this key the data is lost. Keep a copy of it elsewhere, and this file readable for its owner only.
encryption_key: {key_hex}
encryption_version: 1

[MetaBackend]
type: backy2.meta_backends.sql
# Three slashes, and the path: sqlite:///relative or sqlite:////absolute.
engine: sqlite:///backy.sqlite

[DataBackend]
type: backy2.data_backends.file
path: data
simultaneous_writes: 4
simultaneous_reads: 4
# Bytes a second, 0 = no limit.
bandwidth_read: 0
bandwidth_write: 0
# When data counts as safe: filesystem, file or none.
sync: filesystem

[io_file]
simultaneous_reads: 4
simultaneous_writes: 4

[io_null]
simultaneous_reads: 4
simultaneous_writes: 4

[NBD]
cachedir: cache

# Schedulers, for `backy2 due` and `backy2 sla`: a backup is due every `interval` and may be late by `sla`.
# `keep` backups are kept. Times are a number and s, m, h or d.
[daily]
interval: 1d
keep: 8
sla: 6h

[weekly]
interval: 7d
keep: 5
sla: 12h

[monthly]
interval: 30d
keep: 3
sla: 3d
"
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Origin, Places, StoreConfig, load};
    use super::*;
    use std::fs::canonicalize;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_template_loads_without_warnings_wherever_the_folder_is() {
        for name in ["plain", "100% full", "bäckup (1)", "a=b: [c];d", "x#y"] {
            let parent = tempfile::tempdir().expect("a folder");
            let dir = parent.path().join(name);
            std::fs::create_dir(&dir).expect("a folder");
            let file = dir.join("backy.cfg");
            std::fs::write(&file, folder_template(&"0f".repeat(32))).expect("written");
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("changed");
            let config = load(&Origin::Folder(dir.clone()), &Places::of_system()).expect("good");
            assert!(config.warnings.is_empty(), "{:?}", config.warnings);
            let dir = canonicalize(&dir).expect("there");
            assert_eq!(config.logfile, dir.join("backy.log"));
            assert_eq!(config.lock_dir, Some(dir.join("lock")));
            assert_eq!(config.cachedir, dir.join("cache"));
            assert_eq!(config.meta.engine, format!("sqlite:///{}", dir.join("backy.sqlite").display()));
            assert!(
                matches!(&config.data.store, StoreConfig::File { path, .. } if *path == dir.join("data"))
            );
            assert_eq!(config.encryption_key.expect("a key").bytes(), &[0x0f; 32]);
            let names: Vec<_> = config.schedulers.iter().map(|s| s.name.as_str()).collect();
            assert_eq!(names, ["daily", "weekly", "monthly"]);
        }
    }
}

//! Turns raw sections into settings: applies defaults, checks ranges, and requires what must be set.

use super::raw::{Raw, Section};
use super::values::Keys;
use super::{Config, DataConfig, IoConfig, MetaConfig, Parallel, Places, Scheduler, StoreConfig};
use super::{hooks, jobs, known, rbd, retention, s3};
use crate::types::settings::{Durability, FileMode, HashFunction, MasterKey};
use crate::types::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// The required sections.
const REQUIRED: [&str; 3] = ["DEFAULTS", "MetaBackend", "DataBackend"];
/// The largest block in bytes. Dozens of blocks are in memory at the same time.
const MAX_BLOCK_SIZE: u64 = 1 << 30;
/// The most requests at the same time. Each has a thread.
const MAX_SIMULTANEOUS: u64 = 1024;
/// Bytes of blocks in memory: 64 blocks of the default size.
const MOUNT_CACHE_SIZE: u64 = 256 << 20;
/// The most versions that a scheduler keeps, so that `keep` times `interval` is a reasonable time.
const MAX_KEEP: u64 = 100_000;

/// Checks every setting that the program uses. `files` names the files that were read, for messages.
pub(super) fn settings(raw: &Raw, files: &str, places: &Places) -> Result<Config> {
    for name in REQUIRED {
        if raw.section(name).is_none() {
            let found = known::lookalike(raw, name);
            let found = found.map_or_else(String::new, |section| {
                format!(" There is [{}] in {}: sections are case-sensitive.", section.name, section.place)
            });
            return Err(Error::config(format!("{files}: there is no section [{name}].{found}")));
        }
    }
    let keys = Keys::new(raw, "DEFAULTS");
    let file_mode = keys.file_mode("file_mode")?;
    let mut own_folders = Vec::new();
    let (logfile, made) = own_place(keys, "logfile", places.logfile.as_deref())?;
    own_folders.extend(made.and_then(|logfile| logfile.parent().map(Path::to_owned)));
    let (cachedir, made) = own_place(keys, "cachedir", places.cachedir.as_deref())?;
    own_folders.extend(made);
    let (nbd_cachedir, made) = own_place(Keys::new(raw, "NBD"), "cachedir", places.cachedir.as_deref())?;
    own_folders.extend(made);
    known::refuse_unknown(raw)?;
    let mut warnings = known::warnings(raw);
    let schedulers: Vec<Scheduler> =
        known::schedulers(raw).map(|section| scheduler(raw, section)).collect::<Result<_>>()?;
    Ok(Config {
        logfile,
        file_mode,
        block_size: keys.number("block_size", 1..=MAX_BLOCK_SIZE, 4_194_304)? as u32,
        hash_function: hash_function(keys)?,
        lock_dir: keys.path("lock_dir")?,
        cachedir,
        nbd_cachedir,
        mount_cache_size: keys.number("mount_cache_size", 0..=u64::MAX, MOUNT_CACHE_SIZE)?,
        process_name: process_name(keys)?,
        disallow_rm_when_younger_than_days: keys.number(
            "disallow_rm_when_younger_than_days",
            0..=u64::MAX,
            0,
        )?,
        deduplication: keys.boolean("deduplication", true)?,
        encryption_key: encryption_key(keys)?,
        encryption_version: keys.number("encryption_version", 0..=1, 1)? as u32,
        meta: meta(Keys::new(raw, "MetaBackend"))?,
        data: data(Keys::new(raw, "DataBackend"), file_mode, &mut warnings)?,
        io: IoConfig {
            file_mode,
            file: parallel(Keys::new(raw, "io_file"), ONE_EACH)?,
            null: parallel(Keys::new(raw, "io_null"), ONE_EACH)?,
            rbd: rbd::settings(Keys::new(raw, "io_rbd"))?,
        },
        run: jobs::settings(raw, &schedulers)?,
        schedulers,
        retention: retention::settings(raw)?,
        metrics_file: keys.path("metrics_file")?,
        hooks: hooks::settings(raw)?,
        own_folders,
        warnings,
    })
}

/// The path in `key`, or else `default`. The second value is the default again if it was used, because that folder may
/// have to be created.
fn own_place(keys: Keys, key: &str, default: Option<&Path>) -> Result<(PathBuf, Option<PathBuf>)> {
    match (keys.path(key)?, default) {
        (Some(path), _) => Ok((path, None)),
        (None, Some(default)) => Ok((default.to_owned(), Some(default.to_owned()))),
        (None, None) => Err(Error::config(format!(
            "There is no {key} in the configuration, and no home folder for a default. Set it."
        ))),
    }
}

fn hash_function(keys: Keys) -> Result<HashFunction> {
    let names = HashFunction::ALL.map(|function| (function.name(), function));
    keys.choice("hash_function", &names, HashFunction::Sha512)
}

/// Other instances recognize this one by the first word of its title, without the path in it.
fn process_name(keys: Keys) -> Result<String> {
    let Some((name, value)) = keys.text("process_name")? else { return Ok("backy2".to_owned()) };
    if name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
        return Err(keys.bad("process_name", value, "is not one word without white space and /"));
    }
    Ok(name)
}

fn encryption_key(keys: Keys) -> Result<Option<MasterKey>> {
    const KEY: &str = "encryption_key";
    let Some((text, value)) = keys.text(KEY)? else { return Ok(None) };
    let text = Zeroizing::new(text);
    match MasterKey::from_hex(&text) {
        Some(key) => Ok(Some(key)),
        None => {
            let problem = format!("is not 64 hex digits (it has {} characters)", text.chars().count());
            Err(keys.bad(KEY, value, problem))
        }
    }
}

fn meta(keys: Keys) -> Result<MetaConfig> {
    const DRIVERS: [&str; 3] = ["sqlite", "postgresql", "postgres"];
    keys.choice("type", &[("backy2.meta_backends.sql", ()), ("sql", ())], ())?;
    let Some((engine, value)) = keys.text("engine")? else {
        return Ok(MetaConfig { engine: "sqlite:////tmp/backy.sqlite".to_owned() });
    };
    // As in SQLAlchemy, the name of a driver may follow: postgresql+psycopg2.
    let dialect = engine.split_once("://").and_then(|(scheme, _)| scheme.split('+').next());
    if dialect.is_none_or(|dialect| !DRIVERS.contains(&dialect)) {
        let problem = "is not a URL that begins with sqlite:/// or postgresql://";
        return Err(keys.bad("engine", value, problem));
    }
    match engine.split_once(":///") {
        Some((scheme, path)) if scheme.starts_with("sqlite") && !path.is_empty() => {
            let path = keys.located(value, path);
            let path = path.to_str().ok_or_else(|| {
                keys.bad("engine", value, "is a path below a folder whose name is not UTF-8")
            })?;
            Ok(MetaConfig { engine: format!("{scheme}:///{path}") })
        }
        _ => Ok(MetaConfig { engine }),
    }
}

#[derive(Clone, Copy)]
enum StoreKind {
    File,
    Null,
    S3,
    Minio,
}

fn data(keys: Keys, mode: FileMode, warnings: &mut Vec<String>) -> Result<DataConfig> {
    const KINDS: [(&str, StoreKind); 8] = [
        ("backy2.data_backends.file", StoreKind::File),
        ("backy2.data_backends.s3", StoreKind::S3),
        ("backy2.data_backends.minio", StoreKind::Minio),
        ("backy2.data_backends.null", StoreKind::Null),
        ("file", StoreKind::File),
        ("s3", StoreKind::S3),
        ("minio", StoreKind::Minio),
        ("null", StoreKind::Null),
    ];
    const SYNC: [(&str, Durability); 3] =
        [("filesystem", Durability::Filesystem), ("file", Durability::File), ("none", Durability::None)];
    let sync = keys.choice("sync", &SYNC, Durability::default())?;
    let store = match keys.choice("type", &KINDS, StoreKind::File)? {
        StoreKind::File => {
            let path = keys.path("path")?.unwrap_or_else(|| "/tmp".into());
            StoreConfig::File { path, sync, mode }
        }
        StoreKind::Null => StoreConfig::Null,
        StoreKind::S3 => {
            let (config, warning) = s3::s3(keys)?;
            warnings.extend(warning);
            warnings.extend(s3::exposed(&config));
            StoreConfig::S3(Box::new(config))
        }
        StoreKind::Minio => {
            let config = s3::minio(keys)?;
            warnings.extend(s3::exposed(&config));
            StoreConfig::S3(Box::new(config))
        }
    };
    let Parallel { reads, writes } = parallel(keys, ONE_EACH)?;
    Ok(DataConfig {
        store,
        simultaneous_writes: writes,
        simultaneous_reads: reads,
        bandwidth_read: keys.number("bandwidth_read", 0..=u64::MAX, 0)?,
        bandwidth_write: keys.number("bandwidth_write", 0..=u64::MAX, 0)?,
        metadata_copies: keys.boolean("metadata_copies", true)?,
    })
}

/// The default for most sources, targets and stores.
const ONE_EACH: Parallel = Parallel { reads: 1, writes: 1 };

pub(super) fn parallel(keys: Keys, default: Parallel) -> Result<Parallel> {
    let number = |key, default: usize| {
        keys.number(key, 1..=MAX_SIMULTANEOUS, default as u64).map(|number| number as usize)
    };
    Ok(Parallel {
        reads: number("simultaneous_reads", default.reads)?,
        writes: number("simultaneous_writes", default.writes)?,
    })
}

fn scheduler(raw: &Raw, section: &Section) -> Result<Scheduler> {
    let name = &section.name;
    let keys = Keys::new(raw, name);
    for key in known::SCHEDULER {
        if keys.find(key).is_none() {
            return Err(Error::config(format!(
                "{}: [{name}] there is no key {key}. Every section that is not one of backy2's own is a \
                 scheduler, and needs {}.{}",
                section.place,
                known::SCHEDULER.join(", "),
                known::hint(name)
            )));
        }
    }
    Ok(Scheduler {
        name: name.clone(),
        interval: keys.time("interval", Duration::from_secs(1))?.unwrap_or_default(),
        keep: keys.number("keep", 0..=MAX_KEEP, 0)?,
        sla: keys.time("sla", Duration::ZERO)?.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;

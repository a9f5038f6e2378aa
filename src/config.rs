//! The configuration: read from INI or TOML, checked, and handed on as typed settings.
//!
//! [`load`] finds and reads the files. Text becomes raw sections (`ini`, `toml`), those of several files are
//! merged key by key (`raw`), and only then are `%` references expanded, values checked and defaults filled
//! in (`values`, `settings`), so that each error can name file, line, section, key and value. What has no
//! effect is a warning (`known`). Keys and passwords never get into a message (`mask`).

mod ini;
mod interpolate;
mod known;
mod load;
mod mask;
mod places;
mod raw;
mod rbd;
mod s3;
mod settings;
mod template;
mod toml;
mod values;

#[cfg(test)]
mod tests;

pub use load::load;
pub use mask::mask_url;
pub use places::Places;
pub use s3::{Addressing, Credential, Names, S3Config};
pub use template::folder_template;

use crate::types::settings::{Durability, FileMode, HashFunction, MasterKey};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where the configuration is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `/etc/backy.cfg`, `/etc/backy/backy.cfg`, `/etc/backy/conf.d/*`, `~/.backy.cfg`, `./backy.cfg`: all
    /// that are there, later ones overriding.
    Search,
    /// This file only (`-c`).
    File(PathBuf),
    /// The file `backy.cfg` in this folder only (`-b`).
    Folder(PathBuf),
}

/// All settings, with their defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where INFO and above are appended to.
    pub logfile: PathBuf,
    /// Permissions of all that is made.
    pub file_mode: FileMode,
    /// Bytes of a block, not 0.
    pub block_size: u32,
    /// How blocks are recognised.
    pub hash_function: HashFunction,
    /// Where the lock files are; `None`: beside the database, and where 2.13 has them.
    pub lock_dir: Option<PathBuf>,
    /// Where temporary copies are kept.
    pub cachedir: PathBuf,
    /// Where what clients of the NBD server write is kept until it is stored.
    pub nbd_cachedir: PathBuf,
    /// Bytes of blocks that a mount keeps in memory.
    pub mount_cache_size: u64,
    /// What `ps` shows, and what other instances look for.
    pub process_name: String,
    /// `rm` refuses versions younger than this many whole days.
    pub disallow_rm_when_younger_than_days: u64,
    /// Whether known blocks are reused.
    pub deduplication: bool,
    /// Wraps the key of every blob; absent where nothing is encrypted.
    pub encryption_key: Option<MasterKey>,
    /// How new blobs are stored: 0 or 1.
    pub encryption_version: u32,
    /// Where the metadata is.
    pub meta: MetaConfig,
    /// Where the blobs are.
    pub data: DataConfig,
    /// Sources and targets.
    pub io: IoConfig,
    /// Every section that is none of the known ones, in the order of the file.
    pub schedulers: Vec<Scheduler>,
    /// Folders that are used because nothing else was said, and that are made where they are missing.
    pub own_folders: Vec<PathBuf>,
    /// What should be mended but does not stop the work: unknown keys, a readable key.
    pub warnings: Vec<String>,
}

/// `[MetaBackend]`.
#[derive(Clone)]
pub struct MetaConfig {
    /// The engine's URL, passwords percent-encoded. [`mask_url`] makes it fit for messages.
    pub engine: String,
}

impl fmt::Debug for MetaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetaConfig").field("engine", &mask_url(&self.engine)).finish()
    }
}

/// `[DataBackend]`.
#[derive(Clone, Debug)]
pub struct DataConfig {
    /// Which store, with its own settings.
    pub store: StoreConfig,
    /// Blobs written at the same time, at least 1.
    pub simultaneous_writes: usize,
    /// Blobs read at the same time, at least 1.
    pub simultaneous_reads: usize,
    /// Bytes a second, 0 = no limit.
    pub bandwidth_read: u64,
    /// Bytes a second, 0 = no limit.
    pub bandwidth_write: u64,
}

/// The kinds of store.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// A folder.
    File {
        /// The folder.
        path: PathBuf,
        /// When a blob counts as safe.
        sync: Durability,
        /// Permissions of blobs, and of folders for them.
        mode: FileMode,
    },
    /// Keeps nothing.
    Null,
    /// A bucket: types `s3` and `minio`.
    S3(Box<S3Config>),
}

/// `[io_*]`.
#[derive(Clone, Debug)]
pub struct IoConfig {
    /// Permissions of images that a restore makes.
    pub file_mode: FileMode,
    /// `[io_file]`.
    pub file: Parallel,
    /// `[io_null]`.
    pub null: Parallel,
    /// `[io_rbd]`.
    pub rbd: RbdConfig,
}

/// `[io_rbd]`.
#[derive(Clone, Debug)]
pub struct RbdConfig {
    /// Ceph's own configuration file.
    pub conffile: PathBuf,
    /// Full name of the user: `client.NAME`.
    pub user: String,
    /// Name of the cluster, as the configuration file and the keyring are called.
    pub cluster: String,
    /// Requests at the same time.
    pub parallel: Parallel,
    /// Features of images that a restore creates: a sum of `RBD_FEATURE_*`.
    pub new_image_features: u64,
    /// How long to wait for an answer of the cluster, at least a second.
    pub timeout: Duration,
}

impl Default for IoConfig {
    fn default() -> Self {
        let one_each = Parallel { reads: 1, writes: 1 };
        IoConfig { file_mode: FileMode::PRIVATE, file: one_each, null: one_each, rbd: RbdConfig::default() }
    }
}

/// How many requests are under way at the same time, each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parallel {
    /// Reads of a source.
    pub reads: usize,
    /// Writes to a target.
    pub writes: usize,
}

/// A schedule that `due` and `sla` know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// The section's name, and the tag's.
    pub name: String,
    /// Time between two backups.
    pub interval: Duration,
    /// How many to keep.
    pub keep: u64,
    /// By how much the interval may be missed.
    pub sla: Duration,
}

//! The configuration: read from INI or TOML, checked, and passed on as typed settings.
//!
//! [`load`] finds and reads the files. The text becomes raw sections (`ini`, `toml`), and the sections of several files
//! are merged key by key (`raw`). Only then are `%` references expanded, values checked and defaults filled in
//! (`values`, `settings`), so that each error can name file, line, section, key and value. Keys without effect give a
//! warning (`known`). Secret keys and passwords never appear in a message (`mask`).

mod copied;
mod hooks;
mod ini;
mod interpolate;
pub(crate) mod jobs;
mod known;
mod load;
mod mask;
mod places;
mod raw;
mod rbd;
mod retention;
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

use crate::types::retention::{KeepRules, Retention};
use crate::types::settings::{Durability, FileMode, HashFunction, MasterKey};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where the configuration is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `/etc/backy.cfg`, `/etc/backy/backy.cfg`, `/etc/backy/conf.d/*`, `~/.backy.cfg`, `./backy.cfg`: all that exist.
    /// Later files override earlier ones.
    Search,
    /// Only this file (`-c`).
    File(PathBuf),
    /// Only the file `backy.cfg` in this folder (`-b`).
    Folder(PathBuf),
}

/// All settings, with their defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file to which messages of level INFO and above are appended.
    pub logfile: PathBuf,
    /// Permissions of all files and folders that the program creates.
    pub file_mode: FileMode,
    /// Bytes of a block, not 0.
    pub block_size: u32,
    /// The function that identifies blocks by their content.
    pub hash_function: HashFunction,
    /// The folder of the lock files. `None`: beside the database, and where 2.13 has them.
    pub lock_dir: Option<PathBuf>,
    /// The folder for temporary copies.
    pub cachedir: PathBuf,
    /// The folder for data that clients of the NBD server have written, until it is stored.
    pub nbd_cachedir: PathBuf,
    /// Bytes of blocks that a mount keeps in memory.
    pub mount_cache_size: u64,
    /// The name that `ps` shows, and by which instances find each other.
    pub process_name: String,
    /// `rm` refuses to remove versions younger than this, in whole days.
    pub disallow_rm_when_younger_than_days: u64,
    /// Whether blocks that are already stored are reused.
    pub deduplication: bool,
    /// Wraps the key of every blob. `None` if nothing is encrypted.
    pub encryption_key: Option<MasterKey>,
    /// How new blobs are stored: 0 is plain, 1 is compressed and encrypted.
    pub encryption_version: u32,
    /// Where the metadata is.
    pub meta: MetaConfig,
    /// Where the blobs are.
    pub data: DataConfig,
    /// Sources and targets.
    pub io: IoConfig,
    /// One scheduler for each section that has a scheduler's key and is not one of the program's own, in file order.
    pub schedulers: Vec<Scheduler>,
    /// `[run]` and `[job:NAME]`.
    pub run: RunConfig,
    /// `[retention]` and `[retention:PATTERN]`.
    pub retention: Retention,
    /// The file with metrics for Prometheus, if there is to be one.
    pub metrics_file: Option<PathBuf>,
    /// `[hooks]`.
    pub hooks: Hooks,
    /// Folders in use because the configuration names no others. They are created if they are missing.
    pub own_folders: Vec<PathBuf>,
    /// Problems that do not prevent the work, such as unknown keys or a key that others can read.
    pub warnings: Vec<String>,
}

/// `[MetaBackend]`.
#[derive(Clone)]
pub struct MetaConfig {
    /// The URL of the engine, with percent-encoded passwords. [`mask_url`] removes them for messages.
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
    /// The store, with its own settings.
    pub store: StoreConfig,
    /// Number of blobs written at the same time, at least 1.
    pub simultaneous_writes: usize,
    /// Number of blobs read at the same time, at least 1.
    pub simultaneous_reads: usize,
    /// Bytes per second, 0 = no limit.
    pub bandwidth_read: u64,
    /// Bytes per second, 0 = no limit.
    pub bandwidth_write: u64,
    /// Whether copies of the metadata are written beside the blobs.
    pub metadata_copies: bool,
}

/// The kinds of store.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// A folder.
    File {
        /// The folder.
        path: PathBuf,
        /// When a blob counts as safely stored.
        sync: Durability,
        /// Permissions of blobs and of the folders for them.
        mode: FileMode,
    },
    /// Discards all data.
    Null,
    /// A bucket: the types `s3` and `minio`.
    S3(Box<S3Config>),
}

/// `[io_*]`.
#[derive(Clone, Debug)]
pub struct IoConfig {
    /// Permissions of images that a restore creates.
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
    /// Name of the cluster, as in the names of its configuration file and keyring.
    pub cluster: String,
    /// Number of requests at the same time.
    pub parallel: Parallel,
    /// Features of images that a restore creates: a sum of `RBD_FEATURE_*`.
    pub new_image_features: u64,
    /// How long to wait for an answer from the cluster, at least one second.
    pub timeout: Duration,
}

impl Default for IoConfig {
    fn default() -> Self {
        let one_each = Parallel { reads: 1, writes: 1 };
        IoConfig { file_mode: FileMode::PRIVATE, file: one_each, null: one_each, rbd: RbdConfig::default() }
    }
}

/// Number of requests at the same time, each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parallel {
    /// Reads from a source.
    pub reads: usize,
    /// Writes to a target.
    pub writes: usize,
}

/// A schedule for `due` and `sla`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// The name of the section, and of the tag.
    pub name: String,
    /// Time between two backups.
    pub interval: Duration,
    /// Number of versions to keep.
    pub keep: u64,
    /// How much later than the interval a backup may be.
    pub sla: Duration,
}

/// The nightly jobs.
#[derive(Clone, Debug, Default)]
pub struct RunConfig {
    /// The most jobs at the same time, at least 1.
    pub simultaneous_jobs: usize,
    /// How much of a new version is read again, in percent.
    pub verify: u8,
    /// The sections `[job:NAME]`, in file order.
    pub jobs: Vec<Job>,
}

/// `[hooks]`: shell commands around other commands.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// Must succeed before the command begins.
    pub before: Option<String>,
    /// Is run at the end, however the command ended.
    pub after: Option<String>,
    /// Is run before `after` if the command has failed.
    pub on_failure: Option<String>,
    /// The time limit of each of them.
    pub timeout: Duration,
}

/// `[job:NAME]`.
#[derive(Clone, Debug)]
pub struct Job {
    /// The name of the job.
    pub job: String,
    /// What is backed up.
    pub source: Source,
    /// The name of the versions. Contains the placeholder if there are several sources.
    pub name: String,
    /// The schedulers, if it names them. Then it has no rules of its own.
    pub schedulers: Option<Vec<String>>,
    /// Its own retention rules; empty if those of `[retention]` apply.
    pub keep: KeepRules,
    /// Whether only changes are read.
    pub incremental: bool,
    /// A shell command that must succeed before the backup.
    pub before: Option<String>,
    /// A shell command that is run afterwards, however the backup ends.
    pub after: Option<String>,
    /// The time limit for `before` and the backup together.
    pub timeout: Option<Duration>,
}

/// How often a job makes backups of a name, and how long they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// When one of these schedulers asks for it. Each version gets an expiry date.
    Schedulers(Vec<String>),
    /// Once in the shortest period of these rules, or in each run if they have no period. They also decide what is kept.
    Rules(KeepRules),
}

/// What a job backs up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This source.
    One(String),
    /// Each file, device or image that is found.
    Each {
        /// A path or an URL of RBD images with `*`, `?` or `[…]` in its last part.
        pattern: String,
        /// The source, with the placeholder for the name that was found. `None`: the file or image itself.
        source: Option<String>,
    },
}

//! Arguments of `backup`.

use clap::Args;
use std::ffi::OsString;

/// Arguments of `backup`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  \
    backy2 backup /dev/vg/vm1-snapshot vm1\n  \
    backy2 backup --incremental rbd://pool/vm1 vm1")]
pub struct BackupArgs {
    /// Name of the snapshot that the source is, as a note
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub snapshot_name: String,
    /// File with hints, "-" for stdin: only these ranges are read [default: all but holes is read]. The format is that of
    /// "rbd diff --format json"
    #[arg(short, long, value_name = "HINTSFILE")]
    pub rbd: Option<OsString>,
    /// With -r: take what the hints do not touch from this version; without one it counts as zeros. Without -r, for
    /// an RBD snapshot and a version of an earlier one: read only what has changed
    #[arg(short, long, value_name = "VERSION_UID")]
    pub from_version: Option<String>,
    /// Go on with the interrupted backup that left this incomplete version: its uid, or 6 characters of it
    #[arg(short, long, value_name = "VERSION_UID")]
    pub continue_version: Option<String>,
    /// Take what has not changed from the newest valid version of NAME. Of an RBD image, this makes the snapshot that
    /// is backed up, reads only what has changed since the last one, and removes that
    #[arg(long, conflicts_with_all = ["rbd", "from_version", "continue_version"])]
    pub incremental: bool,
    /// Back up an empty source (0 bytes) though the newest version of NAME has data
    #[arg(long)]
    pub allow_empty: bool,
    /// Tags, comma-separated [default: b_daily, b_weekly, b_monthly when they are due]
    #[arg(short, long, value_name = "TAGS")]
    pub tag: Option<String>,
    /// Expiry in UTC: YYYY-MM-DD, or that with " HH:MM:SS" or "THH:MM:SS" [default: never]
    #[arg(short, long, value_name = "DATE")]
    pub expire: Option<String>,
    /// What to back up: file://PATH, rbd://POOL/IMAGE@SNAPSHOT, null://SIZE, or a path that starts with /, ./ or ../
    pub source: String,
    /// Name of the backup; versions of the same thing share it
    pub name: String,
}

//! Arguments of `backup`.

use clap::Args;
use std::ffi::OsString;

/// Arguments of `backup`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  \
    backy2 backup /dev/vg/vm1-snapshot vm1\n  \
    backy2 backup --incremental rbd://pool/vm1 vm1")]
pub(crate) struct BackupArgs {
    /// Name of the source's snapshot. It is only recorded
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub snapshot_name: String,
    /// File with hints, or "-" for stdin: only these ranges are read [default: everything except holes is read]. The format
    /// is that of "rbd diff --format json"
    #[arg(short, long, value_name = "HINTSFILE")]
    pub rbd: Option<OsString>,
    /// With -r: take all blocks that the hints do not touch from this version (without -f they become zeros). Without -r,
    /// if the source is an RBD snapshot and the version was made from an earlier one: read only the changes
    #[arg(short, long, value_name = "VERSION_UID")]
    pub from_version: Option<String>,
    /// Continue the interrupted backup that left this incomplete version: its uid, or the first 6 or more characters of it
    #[arg(short, long, value_name = "VERSION_UID")]
    pub continue_version: Option<String>,
    /// Take unchanged blocks from the newest valid version of NAME. For an RBD image, this makes a snapshot, backs up
    /// only the changes since the last snapshot, and then removes the last one
    #[arg(long, conflicts_with_all = ["rbd", "from_version", "continue_version"])]
    pub incremental: bool,
    /// Back up an empty source (0 bytes) even if the newest version of NAME has data
    #[arg(long)]
    pub allow_empty: bool,
    /// Tags, comma-separated [default: those of b_daily, b_weekly and b_monthly that are due]
    #[arg(short, long, value_name = "TAGS")]
    pub tag: Option<String>,
    /// Expiry: a time from now on, such as 12h, 30d, 8w or 2y, or a date in UTC: YYYY-MM-DD, optionally followed by
    /// " HH:MM:SS" or "THH:MM:SS" [default: never]
    #[arg(short, long, value_name = "DATE")]
    pub expire: Option<String>,
    /// The source: file://PATH, rbd://POOL/IMAGE@SNAPSHOT, null://SIZE, or a path that starts with /, ./ or ../
    pub source: String,
    /// Name of the backup. All versions of the same image have the same name
    pub name: String,
}

//! Arguments of the commands about the database, its locks and its dumps.

use super::help;
use clap::{Args, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

/// Arguments of `migrate-db`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct MigrateDbArgs {
    /// The target: sqlite:////path/of/a/file or postgresql://user@host/database
    pub target_engine: String,
}

/// Arguments of `rebuild`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Example, after the database was lost:\n  backy2 rebuild")]
pub(crate) struct RebuildArgs {
    /// Only compare the database with its copies, and name the differences; the exit code is 20 if there are any
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `downgrade-check`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DowngradeCheckArgs {
    /// The old database, from before the upgrade [default: NAME.before-upgrade beside the database]
    #[arg(value_hint = ValueHint::FilePath)]
    pub copy: Option<PathBuf>,
}

/// Arguments of `check`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CheckArgs {
    /// Also read and verify about N percent of all blobs, chosen at random (0 to 100)
    #[arg(long, value_name = "N%")]
    pub read: Option<String>,
    /// Write the copies of the metadata that are missing in the data store or not up to date
    #[arg(long)]
    pub write_metadata: bool,
}

/// Arguments of `locks`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LocksArgs {
    /// Columns, comma-separated [default: all]
    #[arg(short, long, value_name = "LIST")]
    pub fields: Option<String>,
}

/// Arguments of `rekey`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RekeyArgs {
    /// Read the old key from the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "oldkey", value_hint = ValueHint::FilePath)]
    pub old_key_file: Option<PathBuf>,
    /// The old master key, 64 hex digits. "-" reads it from stdin, where other users cannot see it
    #[arg(required_unless_present = "old_key_file")]
    pub oldkey: Option<String>,
}

/// Arguments of `export`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ExportArgs {
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
    /// The file, or "-" for stdout
    pub filename: OsString,
}

/// Arguments of `import`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ImportArgs {
    /// The file, or "-" for stdin
    pub filename: OsString,
}

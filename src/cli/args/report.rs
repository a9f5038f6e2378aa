//! Arguments of `report`.

use clap::{Args, ValueHint};
use std::ffi::OsString;

/// Arguments of `report`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Example:\n  backy2 -m report /var/www/html/backups.html")]
pub(crate) struct ReportArgs {
    /// Also add up the sizes of all blobs, in the database and by listing the data store. This can take minutes
    #[arg(long)]
    pub store: bool,
    /// The file to write, or - for stdout. An existing file is replaced
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: OsString,
}

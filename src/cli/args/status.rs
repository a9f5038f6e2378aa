//! Arguments of `status`.

use super::help;
use clap::Args;

/// Arguments of `status`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = help::STATES)]
pub(crate) struct StatusArgs {
    /// Print one line, and end with the exit codes of monitoring plugins: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
    #[arg(long)]
    pub check: bool,
    /// Also add up the sizes of all blobs, in the database and by listing the data store. This can take minutes
    #[arg(long)]
    pub store: bool,
    /// Show only these names, even if they have no version
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

//! Arguments of `run`.

use clap::Args;

/// Arguments of `run`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Example, in a cron table:\n  30 1 * * * root /usr/bin/backy2 run")]
pub(crate) struct RunArgs {
    /// Do nothing, and show what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// The jobs: NAME of a section [job:NAME] [default: all]
    #[arg(value_name = "JOB")]
    pub jobs: Vec<String>,
}

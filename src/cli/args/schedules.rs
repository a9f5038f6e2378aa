//! Arguments of `due`, `sla` and `prune`.

use crate::cli::help;
use clap::Args;

/// Arguments of `due`, which `sla` has as well.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = help::SCHEDULERS)]
pub(crate) struct ScheduleArgs {
    /// Schedulers (sections of the configuration), comma-separated [default: those of the job that makes a name, or else
    /// daily,weekly,monthly]
    #[arg(short, long, value_name = "LIST")]
    pub schedulers: Option<String>,
    /// Columns, comma-separated [default: all]
    #[arg(short, long, value_name = "LIST")]
    pub fields: Option<String>,
    /// Show only this name, even if it has no version
    pub name: Option<String>,
}

/// Arguments of `sla`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SlaArgs {
    /// Print one line for a monitoring system, and end with its exit code: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
    #[arg(long)]
    pub check: bool,
    /// The schedulers, the columns and the name.
    #[command(flatten)]
    pub schedule: ScheduleArgs,
}

/// Arguments of `prune`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = help::RULES)]
pub(crate) struct PruneArgs {
    /// Remove nothing, and show what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Keep the newest N versions
    #[arg(long, value_name = "N")]
    pub keep_last: Option<String>,
    /// Keep the newest version of each of the last N hours that have one
    #[arg(long, value_name = "N")]
    pub keep_hourly: Option<String>,
    /// Keep the newest version of each of the last N days that have one
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<String>,
    /// Keep the newest version of each of the last N weeks that have one
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<String>,
    /// Keep the newest version of each of the last N months that have one
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<String>,
    /// Keep the newest version of each of the last N years that have one
    #[arg(long, value_name = "N")]
    pub keep_yearly: Option<String>,
    /// Keep all versions made in this time before the newest one, such as 2y5m7d3h (m: months)
    #[arg(long, value_name = "TIME")]
    pub keep_within: Option<String>,
    /// Columns, comma-separated [default: all]
    #[arg(short, long, value_name = "LIST")]
    pub fields: Option<String>,
    /// The names whose versions are pruned [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

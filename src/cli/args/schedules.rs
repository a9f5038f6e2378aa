//! Arguments of `due`, `sla` and `prune`.

use crate::cli::help;
use crate::types::retention::{KeepRules, Rule, Span, UNLIMITED, parse_count};
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
    #[arg(long, value_name = "N", value_parser = count)]
    pub keep_last: Option<u64>,
    /// Keep the newest version of each of the last N hours that have one
    #[arg(long, value_name = "N", value_parser = count)]
    pub keep_hourly: Option<u64>,
    /// Keep the newest version of each of the last N days that have one
    #[arg(long, value_name = "N", value_parser = count)]
    pub keep_daily: Option<u64>,
    /// Keep the newest version of each of the last N weeks that have one
    #[arg(long, value_name = "N", value_parser = count)]
    pub keep_weekly: Option<u64>,
    /// Keep the newest version of each of the last N months that have one
    #[arg(long, value_name = "N", value_parser = count)]
    pub keep_monthly: Option<u64>,
    /// Keep the newest version of each of the last N years that have one
    #[arg(long, value_name = "N", value_parser = count)]
    pub keep_yearly: Option<u64>,
    /// Keep all versions made in this time before the newest one, such as 2y5m7d3h (m: months)
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub keep_within: Option<Span>,
    /// Columns, comma-separated [default: all]
    #[arg(short, long, value_name = "LIST")]
    pub fields: Option<String>,
    /// The names whose versions are pruned [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

impl PruneArgs {
    /// The rules on the command line, or `None` if there are none.
    pub(crate) fn rules(&self) -> Option<KeepRules> {
        let counts = [
            (Rule::Last, self.keep_last),
            (Rule::Hourly, self.keep_hourly),
            (Rule::Daily, self.keep_daily),
            (Rule::Weekly, self.keep_weekly),
            (Rule::Monthly, self.keep_monthly),
            (Rule::Yearly, self.keep_yearly),
        ];
        let given = self.keep_within.is_some() || counts.iter().any(|(_, count)| count.is_some());
        let mut rules = KeepRules::default();
        for (rule, count) in counts {
            rules = rules.with(rule, count.unwrap_or(0));
        }
        rules.within = self.keep_within;
        given.then_some(rules)
    }
}

/// The value of a rule that keeps a number of versions.
fn count(text: &str) -> Result<u64, String> {
    parse_count(text).ok_or_else(|| format!("it must be a whole number, 0 or more, or {UNLIMITED}"))
}

/// The value of the rule that keeps the versions of a time.
fn span(text: &str) -> Result<Span, String> {
    let problem = "it must be a time such as 2y5m7d3h: numbers of years, months, days and hours";
    text.parse().map_err(|()| problem.to_owned())
}

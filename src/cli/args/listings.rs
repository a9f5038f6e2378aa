//! Arguments of the commands that list versions and statistics.

use super::help;
use clap::Args;

/// Arguments of `stats`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StatsArgs {
    /// On a terminal: print the whole table, as in a pipe
    #[arg(short, long)]
    pub wide: bool,
    /// Columns, comma-separated [default: all]
    #[arg(short, long, value_name = "LIST")]
    pub fields: Option<String>,
    /// Show only the newest N
    #[arg(short, long, value_name = "N")]
    pub limit: Option<String>,
    /// Show only backups of this version. A removed version must be named by its uid
    pub version_uid: Option<String>,
}

/// Arguments of `diff-meta`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = help::DIFFERENCES)]
pub(crate) struct DiffMetaArgs {
    /// The first version ("left"): its uid, NAME or NAME:N
    pub version_uid1: String,
    /// The second version ("right")
    pub version_uid2: String,
}

/// Arguments of `du`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = help::SPACE)]
pub(crate) struct DuArgs {
    /// On a terminal: print the whole table, as in a pipe
    #[arg(short, long)]
    pub wide: bool,
    /// Columns, comma-separated
    /// [default: Real,Null,Dedup Own,Dedup Others,Individual,Est. Space,Est. Space freed]
    #[arg(short, long, value_name = "LIST", verbatim_doc_comment)]
    pub fields: Option<String>,
    /// Show only this version
    pub version_uid: Option<String>,
}

/// Arguments of `ls`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LsArgs {
    /// On a terminal: print the whole table, as in a pipe
    #[arg(short, long)]
    pub wide: bool,
    /// Show only versions of this snapshot
    #[arg(short, long, value_name = "NAME")]
    pub snapshot_name: Option<String>,
    /// Show only versions with this tag
    #[arg(short, long)]
    pub tag: Option<String>,
    /// Show only versions that have expired
    #[arg(short, long)]
    pub expired: bool,
    /// Columns, comma-separated
    /// [default: date,name,snapshot_name,size,size_bytes,uid,valid,protected,tags,expire]
    #[arg(short, long, value_name = "LIST", verbatim_doc_comment)]
    pub fields: Option<String>,
    /// Show only versions of this name
    pub name: Option<String>,
}

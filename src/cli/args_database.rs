//! Arguments of the commands about the database and its locks.

use clap::Args;

/// Arguments of `migrate-db`.
#[derive(Args, Clone, Debug, Default)]
pub struct MigrateDbArgs {
    /// sqlite:////path/of/a/file or postgresql://user@host/database
    pub target_engine: String,
}

/// Arguments of `locks`.
#[derive(Args, Clone, Debug, Default)]
pub struct LocksArgs {
    /// Columns, comma-separated [default: all]
    #[arg(short, long, value_name = "LIST")]
    pub fields: Option<String>,
}

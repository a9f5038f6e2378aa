//! `initdb`, `init` and `migrate-db`.

use crate::cli::Context;
use crate::cli::args::MigrateDbArgs;
use crate::cli::exit::Outcome;
use crate::cli::terminal::Terminal;
use crate::engine;
use crate::meta::copy::Copied;
use crate::monitor::{Level, Monitor};
use crate::types::error::Result;
use crate::types::remedy::Remedy;
use serde_json::json;
use std::path::Path;

/// Creates the tables in the configured database.
pub(super) fn initdb(context: &Context) -> Result<Outcome> {
    if engine::init::database(&context.config, &context.terminal)? {
        let text = "The data store has data already, of an installation with another database. Backups need an empty \
                    store. Import the dumps of that installation, if there are any.";
        context.terminal.advise(Level::Warning, text, &[Remedy::RebuildDatabase]);
    }
    Ok(Outcome::Done)
}

/// Copies the metadata into another database.
pub(super) fn migrate_db(context: &Context, args: &MigrateDbArgs) -> Result<Outcome> {
    let terminal = &context.terminal;
    let copied = engine::migrate_db::run(&context.config, terminal, &args.target_engine)?;
    let rows: u64 = copied.iter().map(|table| table.rows).sum();
    terminal.info(&format!(
        "Copied {rows} rows of {} tables, and found them all in the target. To use it, set [MetaBackend] engine to it.",
        copied.len()
    ));
    context.report(|| {
        let table = |t: &Copied| json!({"table": t.table, "rows": t.rows, "checksum": t.checksum});
        json!({"tables": copied.iter().map(table).collect::<Vec<_>>()})
    })?;
    Ok(Outcome::Done)
}

/// Creates a self-contained installation in `dir`, which needs no configuration.
///
/// # Errors
/// The folder is not empty, is open to others, or cannot be created.
pub(crate) fn init(terminal: &Terminal, dir: &Path) -> Result<Outcome> {
    let made = engine::init::folder(dir)?;
    let shown = dir.display();
    if let Some(mode) = made.was_open {
        terminal.info(&format!("{shown} had the mode {mode:04o}; now only its owner can use it (0700)."));
    }
    terminal.info(&format!(
        "Made an installation in {shown}. Its key is in {shown}/backy.cfg: keep a copy of it elsewhere. \
         Without it the backups cannot be read."
    ));
    terminal.info(&format!("Back up with: backy2 -b {shown} backup file:///path/of/image NAME"));
    Ok(Outcome::Done)
}

//! `initdb` and `init`.

use crate::cli::Context;
use crate::cli::exit::Outcome;
use crate::cli::terminal::Terminal;
use crate::engine;
use crate::monitor::Monitor;
use crate::types::error::Result;
use std::path::Path;

/// Makes the tables of the configured database.
pub(super) fn initdb(context: &Context) -> Result<Outcome> {
    engine::init::database(&context.config)?;
    Ok(Outcome::Done)
}

/// Makes a self-contained installation in `dir`; there is no configuration before.
///
/// # Errors
/// The folder is not empty or cannot be made.
pub fn init(terminal: &Terminal, dir: &Path) -> Result<Outcome> {
    engine::init::folder(dir)?;
    let shown = dir.display();
    terminal.info(&format!(
        "Made an installation in {shown}. Its key is in {shown}/backy.cfg: keep a copy of it elsewhere, without it \
         the backups cannot be read."
    ));
    terminal.info(&format!("Back up with: backy2 -b {shown} backup file:///path/of/image NAME"));
    Ok(Outcome::Done)
}

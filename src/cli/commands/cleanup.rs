//! `cleanup`.

use crate::cli::Context;
use crate::cli::args::CleanupArgs;
use crate::cli::exit::Outcome;
use crate::engine::{self, Access, Site};
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};
use serde_json::json;

pub(super) fn run(context: &Context, args: &CleanupArgs) -> Result<Outcome> {
    let terminal = &context.terminal;
    let mut site = Site::open(&context.config, terminal, Access::Write)?;
    let cleaned = if args.full {
        let cleaned = engine::cleanup::full(&mut site, args.prefix.as_deref().unwrap_or_default())?;
        terminal.info(&format!("Cleanup: Removed {} blobs", cleaned.deleted));
        cleaned
    } else {
        if args.prefix.is_some() {
            terminal.notice("-p has no meaning without --full: the fast cleanup does not look at the store.");
        }
        let cleaned = engine::cleanup::fast(&mut site, args.dangerous_force)?;
        if cleaned.in_use > 0 {
            terminal.info(&format!("{} listed blocks are still in use and were kept.", cleaned.in_use));
        }
        terminal.info(&format!("Deleted {} blocks.", cleaned.deleted));
        cleaned
    };
    match cleaned.failed {
        0 => {
            context.report(|| json!({"deleted": cleaned.deleted, "in_use": cleaned.in_use}))?;
            Ok(Outcome::Done)
        }
        failed => Err(Error::Refused(format!(
            "{failed} blobs could not be deleted (the reasons are above). The next cleanup tries again."
        ))),
    }
}

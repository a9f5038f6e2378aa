//! `restore`.

use crate::cli::args::RestoreArgs;
use crate::cli::exit::Outcome;
use crate::cli::facts::Facts;
use crate::cli::{Context, dates, paths};
use crate::engine::restore::{self, Options};
use crate::engine::{Access, Site, names};
use crate::monitor::Monitor;
use crate::types::error::Result;
use serde_json::json;
use std::ops::Range;

/// The most bad ranges that are listed one by one.
const LISTED: usize = 100;

pub(super) fn run(context: &Context, args: &RestoreArgs, facts: &mut Facts) -> Result<Outcome> {
    let continue_from = match &args.continue_from {
        Some(text) => Some(dates::number("-c/--continue-from", text, u64::MAX)?),
        None => None,
    };
    let terminal = &context.terminal;
    let mut site = Site::open(&context.config, terminal, Access::Read)?;
    let version = names::find(&mut site, &args.version_uid)?;
    facts.take(&version);
    let target = paths::target(&args.target);
    let restored = restore::run(
        &mut site,
        &Options {
            version: version.uid.as_str(),
            target: &target,
            sparse: args.sparse,
            force: args.force,
            continue_from,
        },
    )?;
    let bad = |range: &Range<u64>| json!({"offset": range.start, "length": range.end - range.start});
    context.report(|| {
        let bad = restored.bad.iter().map(bad).collect::<Vec<_>>();
        json!({"bad": bad, "was_valid": restored.was_valid, "rows_differ": restored.rows_differ})
    })?;
    if restored.rows_differ {
        terminal.error(&format!(
            "The restore went through, but {} may not have the data that was backed up.",
            args.target
        ));
    }
    if restored.bad.is_empty() && restored.was_valid && !restored.rows_differ {
        if context.screen.is_some() {
            terminal.info("Every block was verified, and all data is on the target.");
        }
        return Ok(Outcome::Done);
    }
    if restored.bad.is_empty() && restored.rows_differ {
        return Ok(Outcome::Errors);
    }
    if restored.bad.is_empty() {
        terminal.error(
            "The version was marked invalid before. All of its data was found good now; a scrub makes it valid again.",
        );
        return Ok(Outcome::Errors);
    }
    terminal.error(&format!("The restore went through, but in {target} the data is bad or missing:"));
    for range in restored.bad.iter().take(LISTED) {
        let length = range.end - range.start;
        terminal.error(&format!("  offset {} length {length} (to {})", range.start, range.end - 1));
    }
    if restored.bad.len() > LISTED {
        terminal.error(&format!("  and {} ranges more", restored.bad.len() - LISTED));
    }
    let bytes: u64 = restored.bad.iter().map(|range| range.end - range.start).sum();
    let rest = if restored.rows_differ { "" } else { " Everything else is as it was backed up." };
    terminal.error(&format!("{bytes} bytes in all.{rest}"));
    Ok(Outcome::Errors)
}

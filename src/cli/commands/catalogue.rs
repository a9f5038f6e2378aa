//! `protect`, `unprotect` and `rm`.

use crate::cli::Context;
use crate::cli::args::{RmArgs, VersionArgs};
use crate::cli::exit::Outcome;
use crate::engine::remove::{self, AgeLimit};
use crate::engine::{self, Access, Site};
use crate::monitor::Monitor;
use crate::types::error::Result;
use serde_json::json;

pub(super) fn set_protected(context: &Context, args: &VersionArgs, protected: bool) -> Result<Outcome> {
    let mut site = Site::open(&context.config, &context.terminal, Access::Write)?;
    engine::catalogue::set_protected(&mut site, &args.version_uid, protected)?;
    Ok(Outcome::Done)
}

pub(super) fn rm(context: &Context, args: &RmArgs) -> Result<Outcome> {
    let mut site = Site::open(&context.config, &context.terminal, Access::Remove)?;
    let age_limit = if args.force { AgeLimit::Ignore } else { AgeLimit::Respect };
    let (uid, blocks) = remove::run(&mut site, &args.version_uid, age_limit)?;
    context.terminal.info(&format!("Removed backup version {uid} with {blocks} blocks."));
    context.report(|| json!({"uid": uid, "blocks": blocks}))?;
    Ok(Outcome::Done)
}

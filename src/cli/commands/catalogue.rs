//! `protect`, `unprotect` and `rm`.

use crate::cli::Context;
use crate::cli::args::{RmArgs, VersionArgs};
use crate::cli::exit::Outcome;
use crate::cli::facts::Facts;
use crate::engine::remove::{self, AgeLimit};
use crate::engine::{self, Access, Site};
use crate::monitor::Monitor;
use crate::types::error::Result;
use crate::types::version::Version;
use serde_json::json;

pub(super) fn set_protected(context: &Context, args: &VersionArgs, protected: bool) -> Result<Outcome> {
    let mut site = Site::open(&context.config, &context.terminal, Access::Write)?;
    engine::catalogue::set_protected(&mut site, &args.version_uid, protected)?;
    Ok(Outcome::Done)
}

pub(super) fn rm(context: &Context, args: &RmArgs, facts: &mut Facts) -> Result<Outcome> {
    let access = if args.dry_run { Access::Read } else { Access::Remove };
    let mut site = Site::open(&context.config, &context.terminal, access)?;
    let age_limit = if args.force { AgeLimit::Ignore } else { AgeLimit::Respect };
    // All are found before one goes, because that changes the meaning of NAME:N.
    let chosen = remove::chosen(&mut site, &args.version_uid, age_limit)?;
    if args.dry_run {
        return preview(context, &chosen);
    }
    if let [version] = &chosen[..] {
        facts.take(version);
    }
    let mut removed = Vec::new();
    for version in &chosen {
        let (uid, blocks) = remove::run(&mut site, version.uid.as_str(), age_limit)?;
        context.terminal.info(&format!("Removed backup version {uid} with {blocks} blocks."));
        removed.push(json!({"uid": uid, "blocks": blocks}));
    }
    context.report(|| match removed.len() {
        // Scripts that remove one version have always got this.
        1 => removed.remove(0),
        _ => json!({"removed": removed}),
    })?;
    Ok(Outcome::Done)
}

/// Reports what `rm` would remove: for scripts the uids.
fn preview(context: &Context, chosen: &[Version]) -> Result<Outcome> {
    for Version { uid, name, date, size, .. } in chosen {
        context
            .terminal
            .info(&format!("Would remove backup version {uid} ({name}, {date}) with {size} blocks."));
        if context.style.machine && !context.json {
            context.terminal.print(&format!("{uid}\n"))?;
        }
    }
    let uids: Vec<_> = chosen.iter().map(|version| &version.uid).collect();
    context.report(|| json!({"would_remove": uids}))?;
    Ok(Outcome::Done)
}

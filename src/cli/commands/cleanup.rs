//! `cleanup`.

use crate::cli::args::CleanupArgs;
use crate::cli::exit::Outcome;
use crate::cli::{Context, human, listing};
use crate::engine::cleanup::{Grace, Waiting};
use crate::engine::{self, Access, Site};
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};
use crate::types::text::{self, plural};
use crate::types::uid::BlobUid;
use crate::types::version::Count;
use serde_json::json;

pub(super) fn run(context: &Context, args: &CleanupArgs) -> Result<Outcome> {
    let terminal = &context.terminal;
    let mut site = Site::open(&context.config, terminal, Access::Clean)?;
    if args.prefix.is_some() && !args.full {
        terminal.notice("-p has no meaning without --full: the fast cleanup does not look at the store.");
    }
    if args.dry_run {
        return preview(context, &mut site, args);
    }
    let cleaned = if args.full {
        let cleaned = engine::cleanup::full(
            &mut site,
            args.prefix.as_deref().unwrap_or_default(),
            args.dangerous_force,
        )?;
        terminal.info(&format!("Cleanup: Removed {} blobs", cleaned.deleted));
        cleaned
    } else {
        let cleaned = engine::cleanup::fast(&mut site, grace(args))?;
        if cleaned.in_use > 0 {
            terminal.info(&format!("{} listed blocks are still in use and were kept.", cleaned.in_use));
        }
        terminal.info(&format!("Deleted {} blocks.", cleaned.deleted));
        tell_waiting(context, &cleaned.waiting);
        cleaned
    };
    match cleaned.failed {
        0 => {
            context.report(|| {
                json!({
                    "deleted": cleaned.deleted,
                    "in_use": cleaned.in_use,
                    "waiting": cleaned.waiting.count.blocks,
                    "waits_until": cleaned.waiting.until.map(listing::date),
                })
            })?;
            Ok(Outcome::Done)
        }
        failed => Err(Error::refused(format!(
            "{} could not be deleted (the reasons are above). The next cleanup tries again.",
            plural(failed, "blob", "blobs")
        ))),
    }
}

fn grace(args: &CleanupArgs) -> Grace {
    if args.dangerous_force { Grace::Waived } else { Grace::Respected }
}

/// Reports the data that a cleanup does not delete yet, and until when.
fn tell_waiting(context: &Context, waiting: &Waiting) {
    let Some(until) = waiting.until else { return };
    let Count { blocks: blobs, bytes } = waiting.count;
    context.terminal.info(&format!(
        "{} ({} before compression) {} until {until} (UTC): data stays for an hour after the last version that needs \
         it was removed.",
        plural(blobs, "blob", "blobs"),
        human::size(bytes),
        if blobs == 1 { "waits" } else { "wait" }
    ));
}

/// Reports what a cleanup would delete: for people the amount, for scripts also the names.
fn preview(context: &Context, site: &mut Site<'_>, args: &CleanupArgs) -> Result<Outcome> {
    let terminal = &context.terminal;
    let mut names = Vec::new();
    let mut name = |uid: &BlobUid| match (context.json, context.style.machine) {
        (true, _) => {
            names.push(uid.clone());
            Ok(())
        }
        (false, true) => terminal.print(&format!("{}\n", text::line(uid.as_str()))),
        (false, false) => Ok(()),
    };
    if args.full {
        let blobs =
            engine::cleanup::preview_full(site, args.prefix.as_deref().unwrap_or_default(), &mut name)?;
        terminal.info(&format!("Would delete {}.", plural(blobs, "blob", "blobs")));
        context.report(|| json!({"would_delete": blobs, "blobs": names}))?;
    } else {
        let preview = engine::cleanup::preview(site, grace(args), &mut name)?;
        let Count { blocks: blobs, bytes } = preview.deletable;
        terminal.info(&format!(
            "Would delete {} ({} before compression).",
            plural(blobs, "blob", "blobs"),
            human::size(bytes)
        ));
        tell_waiting(context, &preview.waiting);
        if preview.in_use > 0 {
            terminal.info(&format!("{} are listed but in use, and would be kept.", preview.in_use));
        }
        context.report(|| {
            json!({
                "would_delete": blobs,
                "bytes": bytes,
                "in_use": preview.in_use,
                "waiting": preview.waiting.count.blocks,
                "waits_until": preview.waiting.until.map(listing::date),
                "blobs": names,
            })
        })?;
    }
    Ok(Outcome::Done)
}

//! `rekey` and `migrate-encryption`.

use crate::cli::Context;
use crate::cli::args::{RekeyArgs, VersionArgs};
use crate::cli::commands::ls;
use crate::cli::exit::Outcome;
use crate::cli::terminal::Terminal;
use crate::engine::{self, Access, Site};
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::text::plural;
use serde_json::json;
use std::fs::File;
use std::io::Read;
use zeroize::Zeroizing;

pub(super) fn rekey(context: &Context, args: &RekeyArgs) -> Result<Outcome> {
    let terminal = &context.terminal;
    let old = old_key(terminal, args)?;
    let mut site = Site::open(&context.config, terminal, Access::Write)?;
    let rekeyed = engine::rekey::run(&mut site, &old)?;
    for uid in &rekeyed.damaged {
        terminal.warning(&format!(
            "The key of blob {uid} opens with neither the old nor the configured key: its row is damaged, \
             and was not changed."
        ));
    }
    if rekeyed.already > 0 {
        terminal
            .info(&format!("{} rekeyed already.", plural(rekeyed.already as u64, "blob was", "blobs were")));
    }
    terminal.info(&format!(
        "Rekeying successful: {} rekeyed, {} sparse/ignored, {} unable to rekey (wrong encryption version).)",
        rekeyed.rows, rekeyed.sparse, rekeyed.other
    ));
    context.report(|| {
        json!({
            "rekeyed": rekeyed.rows,
            "sparse": rekeyed.sparse,
            "other_version": rekeyed.other,
            "already": rekeyed.already,
            "damaged": rekeyed.damaged,
        })
    })?;
    Ok(Outcome::Done)
}

/// The most bytes that are read of the first line.
const LONGEST: u64 = 4096;

/// Reads the old key from the place that the arguments name. Errors never show the key, nor a name that may be a key.
fn old_key(terminal: &Terminal, args: &RekeyArgs) -> Result<Zeroizing<String>> {
    let failed = |e: std::io::Error| Error::refused(because("The old key cannot be read", e));
    match (&args.old_key_file, args.oldkey.as_deref()) {
        (Some(file), _) => first_line(File::open(file).map_err(failed)?).map_err(failed),
        (None, Some("-")) => first_line(std::io::stdin()).map_err(failed),
        (None, key) => {
            terminal.notice(
                "The old key stands on the command line, where other users see it, and in the history of the shell. \
                 Better: `rekey -`, which reads it from stdin, or `--old-key-file FILE`.",
            );
            Ok(Zeroizing::new(key.unwrap_or_default().to_owned()))
        }
    }
}

fn first_line(from: impl Read) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize));
    from.take(LONGEST).read_to_string(&mut text)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned()))
}

pub(super) fn migrate(context: &Context, args: &VersionArgs) -> Result<Outcome> {
    let mut site = Site::open(&context.config, &context.terminal, Access::Write)?;
    let old = engine::names::find(&mut site, &args.version_uid)?.uid;
    let made = engine::migrate::run(&mut site, old.as_str()).inspect_err(|_| {
        if context.terminal.has_begun() {
            context.terminal.can_continue_with(&["migrate-encryption", old.as_str()]);
        }
    })?;
    context.terminal.info(&format!(
        "Migrated version {old} to encryption version {}. New version: {}.",
        context.config.encryption_version, made.version.uid
    ));
    context.report(|| json!({"version": ls::json(&made.version)}))?;
    Ok(Outcome::Done)
}

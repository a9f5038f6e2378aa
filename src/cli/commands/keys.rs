//! `rekey` and `migrate-encryption`.

use crate::cli::Context;
use crate::cli::args::{RekeyArgs, VersionArgs};
use crate::cli::commands::ls;
use crate::cli::exit::Outcome;
use crate::engine::{self, Access, Site};
use crate::monitor::Monitor;
use crate::types::error::Result;
use serde_json::json;

pub(super) fn rekey(context: &Context, args: &RekeyArgs) -> Result<Outcome> {
    let terminal = &context.terminal;
    let mut site = Site::open(&context.config, terminal, Access::Write)?;
    let rekeyed = engine::rekey::run(&mut site, &args.oldkey)?;
    for uid in &rekeyed.damaged {
        terminal.warning(&format!(
            "The key of blob {uid} opens with neither the old nor the configured key: its row is damaged, and stays."
        ));
    }
    if rekeyed.already > 0 {
        terminal.info(&format!("{} blobs were rekeyed already.", rekeyed.already));
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

pub(super) fn migrate(context: &Context, args: &VersionArgs) -> Result<Outcome> {
    let mut site = Site::open(&context.config, &context.terminal, Access::Write)?;
    let old = engine::names::find(&mut site, &args.version_uid)?.uid;
    let made = engine::migrate::run(&mut site, &old)?;
    context.terminal.info(&format!(
        "Migrated version {old} to encryption version {}. New version: {}.",
        context.config.encryption_version, made.version.uid
    ));
    context.report(|| json!({"version": ls::json(&made.version)}))?;
    Ok(Outcome::Done)
}

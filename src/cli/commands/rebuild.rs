//! `rebuild`.

use crate::cli::Context;
use crate::cli::args::RebuildArgs;
use crate::cli::exit::Outcome;
use crate::cli::remedy::advised;
use crate::engine::rebuild::{self, Checked, Difference, Invalid, Loss, Rebuilt, Skipped};
use crate::engine::{Access, Site};
use crate::monitor::Monitor;
use crate::types::error::Result;
use crate::types::remedy::Remedy;
use crate::types::text::plural;
use serde_json::{Value, json};

pub(super) fn run(context: &Context, args: &RebuildArgs) -> Result<Outcome> {
    if args.check { check(context) } else { rebuild(context) }
}

fn rebuild(context: &Context) -> Result<Outcome> {
    let terminal = &context.terminal;
    let rebuilt = rebuild::run(&context.config, terminal)?;
    for Skipped { object, why } in &rebuilt.skipped {
        terminal.error(&format!("{object} {why}. It was left out."));
    }
    for Invalid { uid, name, loss } in &rebuilt.invalid {
        terminal.error(&format!("Version {uid} ({name}) is not valid any more: {}.", reason(*loss)));
    }
    for line in summary(&rebuilt) {
        terminal.info(&line);
    }
    context.report(|| report(&rebuilt))?;
    Ok(outcome(rebuilt.skipped.is_empty() && rebuilt.invalid.is_empty()))
}

fn check(context: &Context) -> Result<Outcome> {
    let terminal = &context.terminal;
    let mut site = Site::open(&context.config, terminal, Access::Catalogue)?;
    let checked = rebuild::check(&mut site)?;
    let Checked { versions, blobs, differences } = &checked;
    for Difference { what, why } in differences {
        terminal.error(&format!("{what} {why}."));
    }
    terminal.info(&match differences.len() {
        0 => format!("The data store has copies of all {versions} versions and {blobs} blobs of the database."),
        n => advised(
            &format!(
                "The copies in the data store differ from the database in {}. First delete those that are damaged.",
                plural(n as u64, "place", "places")
            ),
            &[Remedy::WriteCopies],
        ),
    });
    let difference = |d: &Difference| json!({"what": d.what, "reason": d.why});
    context.report(|| {
        let differences: Vec<_> = differences.iter().map(difference).collect();
        json!({"versions": versions, "blobs": blobs, "differences": differences})
    })?;
    Ok(outcome(differences.is_empty()))
}

fn outcome(is_whole: bool) -> Outcome {
    if is_whole { Outcome::Done } else { Outcome::Errors }
}

fn reason(loss: Loss) -> &'static str {
    match loss {
        Loss::Unlisted => "some of its blobs are in no list that can be read",
        Loss::Other => "its blocks are not those that it had",
        Loss::Incomplete => "blocks of it are missing",
        Loss::Blobs => "some of its blobs are missing or were found bad",
    }
}

fn summary(rebuilt: &Rebuilt) -> Vec<String> {
    let Rebuilt { versions, blobs, missing, unnamed, unlisted, .. } = rebuilt;
    let mut lines = vec![format!(
        "The database is rebuilt: {} with {}.",
        plural(*versions, "version", "versions"),
        plural(*blobs, "blob", "blobs")
    )];
    if *missing > 0 {
        lines.push(format!(
            "{missing} of these blobs {} missing in the data store.",
            if *missing == 1 { "is" } else { "are" }
        ));
    }
    if *unnamed > 0 {
        lines.push(format!(
            "No version names {} after an hour.",
            plural(*unnamed, "other blob. A cleanup deletes it", "other blobs. A cleanup deletes them")
        ));
    }
    if *unlisted > 0 {
        lines.push(format!(
            "Nothing is known of {}. A backup that was interrupted leaves such blobs, and they stay until a full \
             cleanup.",
            plural(*unlisted, "other blob", "other blobs")
        ));
    }
    lines.push(advised("", &[Remedy::CheckInstallation]));
    lines
}

fn report(rebuilt: &Rebuilt) -> Value {
    let skipped = |s: &Skipped| json!({"object": s.object, "reason": s.why});
    let invalid = |i: &Invalid| json!({"uid": i.uid.as_str(), "name": i.name, "reason": reason(i.loss)});
    json!({
        "versions": rebuilt.versions,
        "blobs": rebuilt.blobs,
        "missing": rebuilt.missing,
        "unnamed": rebuilt.unnamed,
        "unlisted": rebuilt.unlisted,
        "invalid": rebuilt.invalid.iter().map(invalid).collect::<Vec<_>>(),
        "skipped": rebuilt.skipped.iter().map(skipped).collect::<Vec<_>>(),
    })
}

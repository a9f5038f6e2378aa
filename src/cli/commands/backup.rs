//! `backup`.

use crate::cli::args::BackupArgs;
use crate::cli::commands::{ls, stats};
use crate::cli::exit::Outcome;
use crate::cli::facts::Facts;
use crate::cli::input::Input;
use crate::cli::{Context, csv_list, dates, human, paths};
use crate::engine::backup::{self, Options};
use crate::engine::incremental;
use crate::engine::{Access, Site};
use crate::meta::PastRun;
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::version::Statistics;
use serde_json::json;
use std::ffi::OsStr;
use std::io::Read;
use std::time::Duration;

pub(super) fn run(context: &Context, args: &BackupArgs, facts: &mut Facts) -> Result<Outcome> {
    // Check the arguments before anything is opened.
    let expire = args.expire.as_deref().map(dates::expire).transpose()?.flatten();
    let tags = match args.tag.as_deref() {
        None | Some("") => Vec::new(),
        Some(list) => csv_list::items(list)?.into_iter().filter(|tag| !tag.is_empty()).collect(),
    };
    let terminal = &context.terminal;
    let mut site = Site::open(&context.config, terminal, Access::Write)?;
    let label = args.rbd.as_ref().map(|file| match file.to_string_lossy() {
        name if name == "-" => "stdin".to_owned(),
        name => name.into_owned(),
    });
    let hints = match (&args.rbd, &label) {
        (Some(file), Some(label)) => Some((open_hints(file, terminal)?, label.as_str())),
        _ => None,
    };
    let source = paths::source(&args.source);
    let options = Options {
        source: &source,
        name: &args.name,
        snapshot_name: &args.snapshot_name,
        hints,
        base: args.from_version.as_deref().filter(|uid| !uid.is_empty()),
        resume: args.continue_version.as_deref().filter(|uid| !uid.is_empty()),
        tags,
        expire,
        source_stays: true,
        allow_empty: args.allow_empty,
    };
    let made = if args.incremental {
        incremental::run(&mut site, options).inspect_err(|_| {
            if terminal.has_begun() {
                terminal.can_continue_with(&["backup", "--incremental", &source, &args.name]);
            }
        })?
    } else {
        backup::run(&mut site, options).map_err(|error| match error {
            // A signal has ended the wait for the hints.
            Error::Hints(_) => terminal.check().err().unwrap_or(error),
            error => error,
        })?
    };
    facts.take(&made.version);
    facts.read = Some(made.run.statistics.read.bytes);
    facts.new = Some(made.run.statistics.written.bytes);
    let uid = &made.version.uid;
    terminal.info(&format!("New version: {uid} (Tags: [{}])", made.tags.join(",")));
    if context.screen.is_some() {
        terminal.info(&summary(&made.run.past(), made.stored));
    }
    if context.style.machine && !context.json {
        terminal.print(&format!("{uid}\n"))?;
    }
    context.report(
        || json!({"version": ls::json(&made.version), "statistics": stats::json(&made.run.past()), "bytes_stored": made.stored}),
    )?;
    Ok(Outcome::Done)
}

/// The work of a backup in a line. `stored` is the size of the new blobs in the store, in bytes.
fn summary(run: &PastRun, stored: u64) -> String {
    let Statistics { read, written, .. } = run.statistics;
    let (read, new) = (human::size(read.bytes), human::size(written.bytes));
    let stored =
        if written.bytes == 0 { String::new() } else { format!(" ({} stored)", human::size(stored)) };
    format!("{read} read, {new} new{stored}, {}", human::duration(Duration::from_secs(run.duration)))
}

fn open_hints(file: &OsStr, monitor: &dyn Monitor) -> Result<Box<dyn Read>> {
    let opened = Input::open(file, monitor)
        .map_err(|e| Error::hints(because(format!("{}", file.to_string_lossy()), e)))?;
    Ok(Box::new(opened))
}

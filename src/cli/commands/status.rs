//! `status`.

mod fields;
mod people;
mod plugin;

use crate::cli::args::StatusArgs;
use crate::cli::csv_list::Choice;
use crate::cli::exit::{self, Outcome};
use crate::cli::listing::{self, Field as _};
use crate::cli::sheet::Look;
use crate::cli::{Context, live};
use crate::engine::status::{self, Attempt, Flaw, NameStatus, Options, Severity, Status, Totals};
use crate::engine::{Access, Site};
use crate::monitor::Monitor;
use crate::types::error::Result;
use crate::types::time::Timestamp;
use fields::Field;
use serde_json::{Map, Value, json};

pub(super) fn run(context: &Context, args: &StatusArgs) -> Result<Outcome> {
    let options = Options { names: &args.names, sizes: args.store };
    let mut site = Site::open(&context.config, &context.terminal, Access::Glance)?;
    let status = status::run(&mut site, options, Timestamp::now())?;
    if context.json {
        context.print_json(&document(&status))?;
    } else if args.check {
        context.terminal.print(&plugin::line(&status))?;
    } else if context.style.machine {
        listing::show(context, "names", &status.names, Field::ALL, listing::complete)?;
    } else {
        let look = Look {
            width: live::is_watched().then(live::width),
            colours: live::shows_colours(),
            skip_header: context.style.skip_header,
        };
        context.terminal.print(&people::text(&status, look))?;
        if status.names.is_empty() {
            context.terminal.info("There are no versions.");
        }
    }
    Ok(if args.check { Outcome::Monitored(state(status.severity())) } else { Outcome::Done })
}

/// The state for a monitoring system.
fn state(severity: Severity) -> exit::State {
    match severity {
        Severity::Ok => exit::State::Ok,
        Severity::Warning => exit::State::Warning,
        Severity::Critical => exit::State::Critical,
    }
}

/// The word for a severity.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// The JSON document.
fn document(status: &Status) -> Value {
    let names: Vec<Value> = status.names.iter().map(name).collect();
    let mut document = json!({
        "date": listing::date(status.at),
        "severity": word(status.severity()),
        "bad_blobs": status.bad_blobs,
        "names": names,
    });
    if let (Some(totals), Some(object)) = (&status.totals, document.as_object_mut()) {
        object.insert("totals".to_owned(), sums(totals));
    }
    document
}

fn name(name: &NameStatus) -> Value {
    let pair = |field: &Field| (field.key().to_owned(), field.value(name));
    let mut object: Map<String, Value> = Field::ALL.iter().map(pair).collect();
    let attempt = |Attempt { uid, date, flaw }: &Attempt| {
        let flaw = match flaw {
            Flaw::BadBlobs => "bad blobs",
            Flaw::Incomplete => "incomplete",
        };
        json!({"uid": uid.as_str(), "date": listing::date(*date), "flaw": flaw})
    };
    let attempts: Vec<Value> = name.attempts.iter().map(attempt).collect();
    object.insert("newer_invalid".to_owned(), attempts.into());
    Value::Object(object)
}

fn sums(totals: &Totals) -> Value {
    json!({
        "valid": totals.valid,
        "versions": totals.versions,
        "logical_bytes": totals.logical,
        "data_bytes": totals.data.map(|data| data.bytes),
        "data_blobs": totals.data.map(|data| data.blocks),
        "stored_bytes": totals.stored.map(|stored| stored.bytes),
        "stored_blobs": totals.stored.map(|stored| stored.blocks),
        "deduplication": totals.deduplication(),
        "compression": totals.compression(),
        "free_bytes": totals.space.map(|space| space.free),
        "size_bytes": totals.space.map(|space| space.total),
        "deletable_bytes": totals.deletions.ready.bytes,
        "waiting_bytes": totals.deletions.waiting.bytes,
        "waiting_until": totals.deletable.map_or(Value::Null, listing::date),
    })
}

#[cfg(test)]
mod tests;

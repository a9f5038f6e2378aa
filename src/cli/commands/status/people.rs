//! The overview for people: a table of the names, notes on some of them, and sums.

use super::fields;
use crate::cli::human;
use crate::cli::sheet::{Colour, Head, Look, Sheet};
use crate::cli::table::Align;
use crate::engine::status::{Attempt, Flaw, MOST_BAD, NameStatus, Severity, Status, Totals};
use crate::types::text::line;
use crate::types::text::plural;
use crate::types::time::Timestamp;

/// Number of characters of a uid that are shown.
const SHORT: usize = 8;

/// The whole text.
pub(super) fn text(status: &Status, look: Look) -> String {
    let mut text = String::new();
    if !status.names.is_empty() {
        text += &sheet(status).render(look);
    }
    let notes: Vec<String> = status.names.iter().filter_map(note).collect();
    let sums = status.totals.as_ref().map(|totals| sums(totals, status.names.len()));
    for block in [notes, bad(status.bad_blobs), sums.unwrap_or_default()] {
        if !block.is_empty() && !text.is_empty() {
            text.push('\n');
        }
        block.iter().for_each(|line| text += &format!("{line}\n"));
    }
    text
}

fn sheet(status: &Status) -> Sheet {
    let names = &status.names;
    let right = |title| Head::new(title, Align::Right);
    let columns = vec![
        Head::name("name"),
        Head::new("state", Align::Left),
        right("age"),
        right("size"),
        right("new"),
        right("valid"),
        right("verified"),
        Head::text("schedule"),
    ];
    let colour = |name: &NameStatus| match name.severity {
        Severity::Ok => Colour::Green,
        Severity::Warning => Colour::Yellow,
        Severity::Critical => Colour::Red,
    };
    let colours = Some((1, names.iter().map(colour).collect()));
    let rows = names.iter().map(|name| row(name, status.at)).collect();
    Sheet { columns, rows, colours }
}

fn row(name: &NameStatus, now: Timestamp) -> Vec<String> {
    let none = || "-".to_owned();
    let since = |date: Timestamp| human::age(now.since(date).to_std().unwrap_or_default());
    let version = name.newest.as_ref();
    let schedule = name.scheduler.as_ref().map_or("no schedule", |scheduler| &scheduler.name);
    let valid =
        if name.valid == name.all { name.all.to_string() } else { format!("{}/{}", name.valid, name.all) };
    vec![
        name.name.clone(),
        fields::state(name.state).to_owned(),
        name.age.map_or_else(none, human::age),
        version.map_or_else(none, |version| human::size(version.size_bytes)),
        name.work.map_or_else(none, |work| human::size(work.statistics.written.bytes)),
        valid,
        name.verified.map_or_else(|| "never".to_owned(), since),
        schedule.to_owned(),
    ]
}

/// What the table does not say about a name.
fn note(name: &NameStatus) -> Option<String> {
    let mut texts = Vec::new();
    if name.running {
        texts.push("a version is being written now".to_owned());
    }
    if let Some(Attempt { uid, date, flaw }) = name.attempts.first() {
        let uid: String = uid.as_str().chars().take(SHORT).collect();
        let why = match flaw {
            Flaw::BadBlobs => "has bad blobs",
            Flaw::Incomplete => "is incomplete",
        };
        texts.push(format!("version {} of {date} {why}", line(&uid)));
        if name.attempts.len() > 1 {
            texts.push(format!("{} invalid ones since the last valid one", name.attempts.len()));
        }
    }
    (!texts.is_empty()).then(|| format!("{}: {}", line(&name.name), texts.join("; ")))
}

fn bad(number: u64) -> Vec<String> {
    match number {
        0 => Vec::new(),
        1 => vec!["1 blob that versions need is bad.".to_owned()],
        n if n >= MOST_BAD as u64 => vec![format!("At least {n} blobs that versions need are bad.")],
        n => vec![format!("{n} blobs that versions need are bad.")],
    }
}

/// The sums, a line for each subject.
fn sums(totals: &Totals, names: usize) -> Vec<String> {
    let size = human::size;
    let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!(", ratio {ratio:.1}"));
    let mut lines = vec![format!(
        "versions  {} of {}, {} valid: images of {}",
        totals.versions,
        plural(names as u64, "name", "names"),
        totals.valid,
        size(totals.logical)
    )];
    if let Some(data) = totals.data {
        lines.push(format!(
            "data      {} in {} after deduplication{}",
            size(data.bytes),
            plural(data.blocks, "blob", "blobs"),
            ratio(totals.deduplication())
        ));
    }
    if let Some(stored) = totals.stored {
        lines.push(format!(
            "stored    {} in {} after compression{}",
            size(stored.bytes),
            plural(stored.blocks, "blob", "blobs"),
            ratio(totals.compression())
        ));
    }
    if let Some(space) = totals.space {
        let percent = space.free as f64 * 100.0 / space.total.max(1) as f64;
        lines.push(format!("free      {} of {} ({percent:.0} %)", size(space.free), size(space.total)));
    }
    lines.extend(deletions(totals));
    lines
}

fn deletions(totals: &Totals) -> Option<String> {
    let (ready, waiting) = (totals.deletions.ready, totals.deletions.waiting);
    let mut texts = Vec::new();
    if ready.blocks > 0 {
        texts.push(format!("the next one deletes up to {}", human::size(ready.bytes)));
    }
    if let Some(until) = totals.deletable {
        texts.push(format!("{} wait until {until} UTC", human::size(waiting.bytes)));
    }
    (!texts.is_empty()).then(|| format!("cleanup   {}", texts.join("; ")))
}

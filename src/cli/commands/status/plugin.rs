//! The line for monitoring systems, in the form of Nagios plugins: a state, a text, and numbers behind a bar.

use crate::cli::exit::one_line;
use crate::cli::human;
use crate::engine::status::{NameStatus, Severity, State, Status};

/// The most names that the line explains.
const NAMED: usize = 5;

/// The line, with a newline.
pub(super) fn line(status: &Status) -> String {
    let word = super::state(status.severity()).word();
    format!("{word}: {} | {}\n", one_line(&text(status)), numbers(status).join(" "))
}

fn text(status: &Status) -> String {
    if status.names.is_empty() {
        return "there are no versions".to_owned();
    }
    let mut bad: Vec<&NameStatus> = status.names.iter().filter(|name| name.severity > Severity::Ok).collect();
    // The worst come first.
    bad.sort_by_key(|name| std::cmp::Reverse(name.severity));
    let mut texts: Vec<String> = bad.iter().take(NAMED).map(|name| reason(name)).collect();
    if bad.len() > NAMED {
        texts.push(format!("{} more", bad.len() - NAMED));
    }
    if status.bad_blobs > 0 {
        texts.push(format!("{} bad blobs", status.bad_blobs));
    }
    if !texts.is_empty() {
        return texts.join(", ");
    }
    let oldest = status.names.iter().filter_map(|name| Some((name.age?, &name.name))).max();
    match (oldest, &status.names[..]) {
        (None, _) => "the first backup is running".to_owned(),
        (Some((age, name)), [_]) => format!("{name} is {} old", human::age(age)),
        (Some((age, name)), names) => {
            format!("{} names, the oldest is {name}, {} old", names.len(), human::age(age))
        }
    }
}

/// Why a name is not ok.
fn reason(status: &NameStatus) -> String {
    let NameStatus { name, age, scheduler, .. } = status;
    let age = age.map_or_else(|| "no age".to_owned(), |age| format!("{} old", human::age(age)));
    match status.state {
        State::Ok => format!("{name} is ok"),
        State::Late => {
            let schedule = scheduler.as_ref().map_or("", |scheduler| &scheduler.name);
            format!("{name} is late ({age}, {schedule})")
        }
        State::Failed => format!("{name}: the newest version is incomplete ({age} without it)"),
        State::Invalid if status.valid == 0 => format!("{name} has no valid version"),
        State::Invalid => format!("{name}: the newest version has bad blobs ({age} without it)"),
        State::None => format!("{name} has no version"),
    }
}

/// The numbers, with limits where there are some: `label=value;warning;critical`.
fn numbers(status: &Status) -> Vec<String> {
    let count = |state| status.names.iter().filter(|name| name.state == state).count();
    let oldest = status.names.iter().filter_map(|name| name.age).max().unwrap_or_default();
    let mut numbers = vec![
        format!("names={}", status.names.len()),
        format!("late={};0", count(State::Late)),
        format!("failed={};0", count(State::Failed)),
        format!("invalid={};0", count(State::Invalid)),
        format!("none={};;0", count(State::None)),
        format!("bad_blobs={};;0", status.bad_blobs),
        format!("oldest={}s", oldest.as_secs()),
    ];
    if let Some(totals) = &status.totals {
        numbers.push(format!("versions={}", totals.versions));
        numbers.push(format!("logical={}B", totals.logical));
        numbers.extend(totals.data.map(|data| format!("data={}B", data.bytes)));
        numbers.extend(totals.stored.map(|stored| format!("stored={}B", stored.bytes)));
        numbers.extend(totals.space.map(|space| format!("free={}B;;;0;{}", space.free, space.total)));
    }
    numbers
}

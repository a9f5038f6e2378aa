//! The words of the page.

use super::Content;
use crate::cli::human;
use crate::engine::status::{Attempt, Flaw, NameStatus, Severity, State};
use crate::types::text::plural;
use crate::types::time::Timestamp;
use chrono::NaiveDate;
use std::time::Duration;

/// Number of characters of a uid that are shown.
const SHORT: usize = 8;

/// The title of the page.
pub(super) fn title(content: &Content<'_>) -> String {
    format!("Backups on {}", content.host)
}

/// A day, such as `3 Nov 2026`.
pub(super) fn day(day: NaiveDate) -> String {
    day.format("%-d %b %Y").to_string()
}

/// A moment in local time, such as `3 Nov 2026, 02:15`.
pub(super) fn moment(content: &Content<'_>, time: Timestamp) -> String {
    (content.local)(time).format("%-d %b %Y, %H:%M").to_string()
}

/// The time of day of a moment, such as `02:15`.
pub(super) fn clock(content: &Content<'_>, time: Timestamp) -> String {
    (content.local)(time).format("%H:%M").to_string()
}

/// How long ago a moment was when the report was made.
pub(super) fn since(content: &Content<'_>, time: Timestamp) -> Duration {
    content.report.status.at.since(time).to_std().unwrap_or_default()
}

/// An age in a sentence, such as `3 days`.
fn in_words(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..7200 => plural(seconds / 60, "minute", "minutes"),
        7200..172_800 => plural(seconds / 3600, "hour", "hours"),
        _ => plural(seconds / 86_400, "day", "days"),
    }
}

/// Why a name needs attention, as the end of a sentence that begins with the name.
pub(super) fn trouble(name: &NameStatus) -> String {
    let without = name.age.map(|age| format!(", and the last valid one is {} old", in_words(age)));
    let without = without.unwrap_or_default();
    match (name.state, name.age) {
        (State::Ok, _) => "is well".to_owned(),
        (State::Late, Some(age)) => format!("has had no backup for {}", in_words(age)),
        (State::Late, None) => "is late".to_owned(),
        (State::Failed, _) => format!("has an incomplete newest version{without}"),
        (State::Invalid, _) if name.valid == 0 => "has no valid version".to_owned(),
        (State::Invalid, _) => format!("has bad blobs in its newest version{without}"),
        (State::None, _) if name.running => "is being backed up for the first time".to_owned(),
        (State::None, _) => "has no version".to_owned(),
    }
}

/// A sign and the word for a state. The sign repeats what the colour says.
pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Ok => "✓ ok",
        State::Late => "! late",
        State::Failed => "✕ failed",
        State::Invalid => "✕ invalid",
        State::None => "✕ none",
    }
}

/// The class of a severity in the style.
pub(super) fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "good",
        Severity::Warning => "warn",
        Severity::Critical => "bad",
    }
}

/// Remarks on a name that the columns of the table do not show.
pub(super) fn remarks(content: &Content<'_>, name: &NameStatus) -> Vec<String> {
    let mut remarks = Vec::new();
    if name.running {
        remarks.push("a version is being written".to_owned());
    }
    if let Some(Attempt { uid, date, flaw }) = name.attempts.first() {
        let uid: String = uid.as_str().chars().take(SHORT).collect();
        let why = match flaw {
            Flaw::BadBlobs => "has bad blobs",
            Flaw::Incomplete => "is incomplete",
        };
        remarks.push(format!("version {uid} of {} {why}", moment(content, *date)));
        if name.attempts.len() > 1 {
            remarks.push(format!("{} invalid ones since the last valid one", name.attempts.len()));
        }
    }
    remarks
}

/// A share of something, such as `25 %`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    format!("{:.0} %", part as f64 * 100.0 / whole.max(1) as f64)
}

/// A rate in bytes per second.
pub(super) fn rate(bytes: u64, seconds: u64) -> String {
    bytes.checked_div(seconds).map_or_else(|| "–".to_owned(), |rate| format!("{}/s", human::size(rate)))
}

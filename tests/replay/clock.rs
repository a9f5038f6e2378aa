//! Replaces moments that depend on the clock by their distance from it, and keeps all others.

use chrono::{NaiveDate, NaiveDateTime, TimeDelta, Utc};
use std::collections::BTreeSet;

const FORMAT: &str = "%Y-%m-%d %H:%M:%S";
/// A moment that depends on the clock differs from it by a multiple of this many seconds, as the intervals and margins
/// of the configured schedulers do.
const GRID: i64 = 6 * 3600;
/// Length of a moment in characters.
const LENGTH: usize = 19;

/// The times of the recorded run and of this run.
#[derive(Clone)]
pub struct Clock {
    recorded: (NaiveDateTime, NaiveDateTime),
    own: NaiveDateTime,
    literal: BTreeSet<NaiveDateTime>,
    /// Whether the texts are from this run.
    of_own: bool,
}

impl Clock {
    /// A clock for a run that begins now. Moments in `recorded` that do not depend on its clock are never replaced.
    pub fn new(recorded: &str) -> Self {
        let day = NaiveDate::from_ymd_opt(2026, 11, 20).expect("a day");
        let at = |minute: u32| day.and_hms_opt(17, minute, 0).expect("a time");
        // Dates are cut to whole seconds.
        let own = Utc::now().naive_utc() - TimeDelta::seconds(1);
        let mut clock = Clock { recorded: (at(2), at(22)), own, literal: BTreeSet::new(), of_own: false };
        let moments = recorded.char_indices().filter_map(|(at, _)| moment(recorded, at));
        let literal = moments.filter(|moment| distance(*moment, clock.recorded).is_none());
        clock.literal = literal.collect();
        clock
    }

    /// The clock for texts of this run, which have recorded moments, too.
    pub fn of_own(&self) -> Self {
        Clock { of_own: true, ..self.clone() }
    }

    /// `line`, with all moments replaced that depend on the clock. The text keeps its length.
    pub fn normal(&self, line: &str) -> String {
        let mut out = String::new();
        let mut at = 0;
        while at < line.len() {
            if let Some(moment) = moment(line, at) {
                out.push_str(&self.distance(moment).unwrap_or_else(|| line[at..at + LENGTH].to_owned()));
                at += LENGTH;
                continue;
            }
            // A moment that `sed` has changed.
            if let Some(broken) = line.get(at..at + LENGTH).filter(|piece| piece.starts_with("xxxx-")) {
                out.push_str(if broken.contains(':') { "<broken moment>" } else { broken });
                at += LENGTH;
                continue;
            }
            let c = line[at..].chars().next().expect("a character");
            out.push(c);
            at += c.len_utf8();
        }
        out
    }

    fn distance(&self, moment: NaiveDateTime) -> Option<String> {
        if self.literal.contains(&moment) {
            return None;
        }
        let now = Utc::now().naive_utc() + TimeDelta::seconds(1);
        let recorded = distance(moment, self.recorded);
        let own = distance(moment, (self.own, now));
        // Four times a day both clocks differ by a multiple of the grid, and a moment may belong to either. Then take
        // the clock from which it has no distance, or else the clock of the text's own run.
        let hours = |distance: &Option<i64>| distance.map(i64::abs);
        let (first, second) = if self.of_own { (own, recorded) } else { (recorded, own) };
        match (hours(&first), hours(&second)) {
            (Some(a), Some(0)) if a > 0 => second,
            _ => first.or(second),
        }
        .map(shown)
    }
}

/// The moment at position `at` of `text`.
fn moment(text: &str, at: usize) -> Option<NaiveDateTime> {
    let piece = text.get(at..at + LENGTH).filter(|piece| piece.as_bytes()[4] == b'-')?;
    NaiveDateTime::parse_from_str(piece, FORMAT).ok()
}

/// The distance in hours of `moment` from a clock that shows a time in the given range.
fn distance(moment: NaiveDateTime, (from, to): (NaiveDateTime, NaiveDateTime)) -> Option<i64> {
    let seconds = (moment - from).num_seconds();
    if seconds.rem_euclid(GRID) > (to - from).num_seconds() {
        return None;
    }
    Some(seconds.div_euclid(GRID) * GRID / 3600)
}

fn shown(hours: i64) -> String {
    let distance = if hours == 0 { String::new() } else { format!("{hours:+}h") };
    format!("<now{distance:.>14}>")
}

#[test]
fn moments_become_placeholders() {
    let clock = Clock::new("");
    assert_eq!(clock.normal("a 2026-11-20 17:03:09|"), "a <now..............>|");
    assert_eq!(clock.normal("2027-03-20 17:11:08"), "<now........+2880h>");
    assert_eq!(clock.normal("2026-11-11 11:11:14."), "<now.........-222h>.");
    assert_eq!(clock.normal("2030-01-02 00:00:00"), "2030-01-02 00:00:00");
    let now = Utc::now().naive_utc().format(FORMAT).to_string();
    assert_eq!(clock.normal(&now), "<now..............>");
    assert_eq!(clock.of_own().normal(&now), "<now..............>");
}

/// Holds at any time of day.
#[test]
fn of_moments_that_both_clocks_could_have_shown_each_text_means_its_own() {
    let recorded = Clock::new("");
    let at = |text: &str| NaiveDateTime::parse_from_str(text, FORMAT).expect("a time");
    let own = Clock { own: at("2026-11-20 23:09:00"), ..recorded.of_own() };
    assert_eq!(own.normal("2026-11-20 23:09:00"), "<now..............>");
    assert_eq!(own.normal("2026-11-21 05:09:00"), "<now...........+6h>");
    assert_eq!(recorded.normal("2026-11-20 23:09:00"), "<now...........+6h>");
    assert_eq!(recorded.normal("2026-11-20 17:09:00"), "<now..............>");
}

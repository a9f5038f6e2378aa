//! The columns for scripts, and the fields of a name in JSON.

use crate::cli::csv_list::Choice;
use crate::cli::listing;
use crate::cli::table::Align;
use crate::cli::{commands::status::word, human};
use crate::engine::status::{NameStatus, State};
use serde_json::Value;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    State,
    Severity,
    Running,
    Date,
    Age,
    Uid,
    SizeBytes,
    NewBytes,
    Duration,
    Verified,
    Valid,
    Versions,
    Scheduler,
    Protected,
    Tags,
}

use Field::*;

/// The state in a word.
pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Late => "late",
        State::Failed => "failed",
        State::Invalid => "invalid",
        State::None => "none",
    }
}

impl Choice for Field {
    const ALL: &'static [Self] = &[
        Name, State, Severity, Running, Date, Age, Uid, SizeBytes, NewBytes, Duration, Verified, Valid,
        Versions, Scheduler, Protected, Tags,
    ];

    fn title(self) -> &'static str {
        match self {
            Name => "name",
            State => "state",
            Severity => "severity",
            Running => "running",
            Date => "date",
            Age => "age_seconds",
            Uid => "uid",
            SizeBytes => "size_bytes",
            NewBytes => "new_bytes",
            Duration => "duration_seconds",
            Verified => "verified",
            Valid => "valid",
            Versions => "versions",
            Scheduler => "scheduler",
            Protected => "protected",
            Tags => "tags",
        }
    }
}

impl listing::Field<NameStatus> for Field {
    fn align(self) -> Align {
        Align::Left
    }

    fn cell(self, name: &NameStatus, human: bool) -> String {
        let size = |bytes: u64| if human { human::size(bytes) } else { bytes.to_string() };
        let version = name.newest.as_ref();
        match self {
            Name => name.name.clone(),
            State => state(name.state).to_owned(),
            Severity => word(name.severity).to_owned(),
            Running => u8::from(name.running).to_string(),
            Date => version.map(|version| version.date.to_string()).unwrap_or_default(),
            Age => name.age.map(|age| age.as_secs().to_string()).unwrap_or_default(),
            Uid => version.map(|version| version.uid.to_string()).unwrap_or_default(),
            SizeBytes => version.map(|version| size(version.size_bytes)).unwrap_or_default(),
            NewBytes => name.work.map(|work| size(work.statistics.written.bytes)).unwrap_or_default(),
            Duration => name.work.map(|work| work.seconds.to_string()).unwrap_or_default(),
            Verified => name.verified.map(|date| date.to_string()).unwrap_or_default(),
            Valid => name.valid.to_string(),
            Versions => name.all.to_string(),
            Scheduler => name.scheduler.as_ref().map(|it| it.name.clone()).unwrap_or_default(),
            Protected => version.map(|version| u8::from(version.protected).to_string()).unwrap_or_default(),
            Tags => version.map(|version| version.tags.join(",")).unwrap_or_default(),
        }
    }

    fn value(self, name: &NameStatus) -> Value {
        let version = name.newest.as_ref();
        match self {
            Name | State | Severity => self.cell(name, false).into(),
            Running => name.running.into(),
            Date => version.map_or(Value::Null, |version| listing::date(version.date)),
            Age => name.age.map(|age| age.as_secs()).into(),
            Uid => version.map(|version| version.uid.as_str()).into(),
            SizeBytes => version.map(|version| version.size_bytes).into(),
            NewBytes => name.work.map(|work| work.statistics.written.bytes).into(),
            Duration => name.work.map(|work| work.seconds).into(),
            Verified => name.verified.map_or(Value::Null, listing::date),
            Valid => name.valid.into(),
            Versions => name.all.into(),
            Scheduler => name.scheduler.as_ref().map(|it| it.name.as_str()).into(),
            Protected => version.map(|version| version.protected).into(),
            Tags => version.map(|version| version.tags.clone()).unwrap_or_default().into(),
        }
    }
}

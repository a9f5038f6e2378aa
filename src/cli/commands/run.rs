//! `run`.

use crate::cli::args::RunArgs;
use crate::cli::csv_list::Choice;
use crate::cli::exit;
use crate::cli::facts::{Facts, Failure};
use crate::cli::remedy::WAY_ON;
use crate::cli::sheet::{Head, Look, Sheet};
use crate::cli::table::Align;
use crate::cli::{Context, human, listing, log};
use crate::engine::jobs::{self, Need, Task};
use crate::engine::{Access, Site};
use crate::monitor::{Level, Monitor};
use crate::runner::{self, BackedUp, Outcome, Program, Report, Said, Step, Verdict};
use crate::types::error::{Error, Result};
use crate::types::time::Timestamp;
use serde_json::{Value, json};
use std::ffi::OsString;

pub(super) fn run(context: &Context, args: &RunArgs, facts: &mut Facts) -> Result<exit::Outcome> {
    let access = if args.dry_run { Access::Catalogue } else { Access::Write };
    let mut site = Site::open(&context.config, &context.terminal, access)?;
    let tasks = jobs::plan(&mut site, &context.config.run.jobs, &args.jobs, Timestamp::now())?;
    if args.dry_run {
        listing::show(context, "jobs", &tasks, PlanField::ALL, listing::complete)?;
        return Ok(exit::Outcome::Done);
    }
    let terminal = &context.terminal;
    let show = |said: &Said<'_>| {
        news(said).for_each(|line| terminal.pass_on(&format!("{}: {line}", said.about)));
    };
    let words = |step: Step<'_>| {
        let json = OsString::from("--json");
        let words = words(step).into_iter().map(OsString::from);
        context.options.iter().cloned().chain([json]).chain(words).collect()
    };
    let program = Program { words: &words, show: &show };
    let tell = |outcome: &Outcome| {
        let line = lines(std::slice::from_ref(outcome), None);
        terminal.record(Level::Info, line.trim_end());
    };
    let report = runner::run(&mut site, &program, &tasks, &tell)?;
    take(facts, &tasks, &report);
    if context.json && report.interrupted.is_some() {
        // The only document is the error.
    } else if context.json || context.style.machine {
        listing::show(context, "jobs", &report.outcomes, Field::ALL, listing::complete)?;
    } else if report.is_silent() {
        terminal.info("Nothing is due.");
    } else if !report.is_good() || terminal.is_read_by_people() {
        terminal.print(&lines(&report.outcomes, context.screen))?;
    }
    let outcome = conclude(context, &report);
    report.interrupted.map_or(Ok(outcome), |signal| Err(Error::Interrupted(signal)))
}

/// The lines of the stderr of a step that the run itself does not say.
fn news<'a>(said: &'a Said<'_>) -> impl Iterator<Item = &'a str> {
    let error = said.error.map(log::clean);
    let mut lines = said.lines.iter().map(String::as_str);
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            if line == WAY_ON {
                // The next run goes on by itself.
                lines.next();
                continue;
            }
            let text = line.trim_start().strip_prefix("ERROR: ");
            let is_known = text.is_some_and(|text| text == exit::CLOSING || Some(text) == error.as_deref());
            if !is_known {
                return Some(line);
            }
        }
    })
}

/// The command line of a step.
fn words(step: Step<'_>) -> Vec<String> {
    match step {
        Step::Backup(task) => {
            let mut words = vec!["backup".to_owned()];
            if task.job.incremental {
                words.push("--incremental".to_owned());
            }
            if let Need::Due { tags, expire, .. } = &task.need {
                if !tags.is_empty() {
                    words.push(format!("--tag={}", tags.join(",")));
                }
                words.extend(expire.map(|expire| format!("--expire={expire}")));
            }
            words.extend(["--".to_owned(), task.source.clone(), task.name.clone()]);
            words
        }
        Step::Verify { uid, percent } => {
            ["scrub", "-p", &percent.to_string(), "--", uid].map(str::to_owned).to_vec()
        }
        Step::Prune(name) => ["prune", "--", name].map(str::to_owned).to_vec(),
        Step::Cleanup => vec!["cleanup".to_owned()],
    }
}

/// Notes what hooks and metrics need.
fn take(facts: &mut Facts, tasks: &[Task<'_>], report: &Report) {
    let made = report.outcomes.iter().filter_map(made).map(|made| (made.read, made.new));
    let sum = made.reduce(|a, b| (a.0.saturating_add(b.0), a.1.saturating_add(b.1)));
    (facts.read, facts.new) = (sum.map(|sum| sum.0), sum.map(|sum| sum.1));
    for (task, outcome) in tasks.iter().zip(&report.outcomes).filter(|(_, outcome)| !outcome.is_good()) {
        // A job whose pattern finds nothing has no version.
        let is_known = !task.source.is_empty();
        let of_task = |text: &str| Some(text.to_owned()).filter(|_| is_known);
        facts.failures.push(Failure {
            job: Some(outcome.job.clone()),
            name: of_task(&task.name),
            source: of_task(&task.source),
            is_backup: matches!(outcome.verdict, Verdict::Failed(_)),
            error: problems(outcome).join("; "),
            code: if outcome.is_damage() { exit::BAD_DATA } else { exit::FAILED },
        });
    }
    if let Some(why) = &report.cleanup {
        let (error, code) = (format!("The cleanup failed: {why}"), exit::FAILED);
        facts.failures.push(Failure { job: None, name: None, source: None, is_backup: false, error, code });
    }
}

/// The backup that was made.
fn made(outcome: &Outcome) -> Option<&BackedUp> {
    match &outcome.verdict {
        Verdict::Made(made) => Some(made),
        Verdict::NotDue | Verdict::Busy | Verdict::Failed(_) => None,
    }
}

/// Reports what went wrong, and chooses the exit code. The last line gives a reason.
fn conclude(context: &Context, report: &Report) -> exit::Outcome {
    let (terminal, complaints) = (&context.terminal, complaints(report));
    match &complaints[..] {
        _ if report.is_good() => exit::Outcome::Done,
        [others @ .., last] if !report.is_damage() && report.interrupted.is_none() => {
            others.iter().for_each(|line| terminal.error(line));
            terminal.fail(std::slice::from_ref(last), exit::CLOSING);
            exit::Outcome::Failed
        }
        all => {
            all.iter().for_each(|line| terminal.error(line));
            exit::Outcome::Errors
        }
    }
}

/// Everything that went wrong: how many backups failed, then a line for each problem.
fn complaints(report: &Report) -> Vec<String> {
    let (mut failed, mut lines) = (Vec::new(), Vec::new());
    for outcome in &report.outcomes {
        let name = &outcome.name;
        if let Verdict::Failed(why) = &outcome.verdict {
            failed.push(&name[..]);
            lines.push(format!("{name}: no backup was made: {why}"));
        }
        lines.extend(outcome.problems.iter().map(|problem| format!("{name}: {}", problem.text)));
    }
    lines.extend(report.cleanup.iter().map(|why| format!("The cleanup failed: {why}")));
    if !failed.is_empty() {
        let (count, all) = (failed.len(), report.outcomes.len());
        lines.insert(0, format!("{count} of {all} backups failed: {}.", failed.join(", ")));
    }
    lines
}

/// The result in a word.
fn word(outcome: &Outcome) -> &'static str {
    match (&outcome.verdict, &outcome.problems[..]) {
        (Verdict::NotDue, []) => "not due",
        (Verdict::Busy, []) => "busy",
        (Verdict::Made(_), []) => "done",
        (Verdict::Failed(_), _) => "failed",
        (Verdict::NotDue | Verdict::Busy | Verdict::Made(_), _) => "problem",
    }
}

/// One line for each task, for a terminal of that width, or for another reader.
fn lines(outcomes: &[Outcome], width: Option<usize>) -> String {
    sheet(outcomes).render(Look { width, skip_header: true, ..Look::default() })
}

/// One line for each task, in columns.
fn sheet(outcomes: &[Outcome]) -> Sheet {
    let (left, right) = (|| Head::new("", Align::Left), || Head::new("", Align::Right));
    let columns = vec![Head::name(""), left(), right(), right(), right(), left(), left()];
    let row = |outcome: &Outcome| {
        let mut row = vec![outcome.name.clone(), word(outcome).to_owned()];
        if let Verdict::Made(made) = &outcome.verdict {
            let verified = match made.verified {
                Some(true) => "verified",
                Some(false) => "bad data",
                None => "",
            };
            row.extend([
                format!("{} read", human::size(made.read)),
                format!("{} new", human::size(made.new)),
                human::duration(outcome.duration),
                verified.to_owned(),
            ]);
        }
        row.resize(6, String::new());
        row.push(if outcome.removed > 0 { format!("{} removed", outcome.removed) } else { String::new() });
        row
    };
    Sheet { columns, rows: outcomes.iter().map(row).collect(), colours: None }
}

/// The columns of `-m run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Job,
    Name,
    Result,
    Uid,
    Read,
    New,
    Seconds,
    Verified,
    Removed,
    Problems,
}

impl Choice for Field {
    const ALL: &'static [Self] = &[
        Field::Job,
        Field::Name,
        Field::Result,
        Field::Uid,
        Field::Read,
        Field::New,
        Field::Seconds,
        Field::Verified,
        Field::Removed,
        Field::Problems,
    ];

    fn title(self) -> &'static str {
        match self {
            Field::Job => "job",
            Field::Name => "name",
            Field::Result => "result",
            Field::Uid => "uid",
            Field::Read => "bytes_read",
            Field::New => "bytes_new",
            Field::Seconds => "duration_seconds",
            Field::Verified => "verified",
            Field::Removed => "removed",
            Field::Problems => "problems",
        }
    }
}

/// All problems of a task, the failure of its backup first.
fn problems(outcome: &Outcome) -> Vec<&str> {
    let failure = match &outcome.verdict {
        Verdict::Failed(why) => Some(&why[..]),
        Verdict::NotDue | Verdict::Busy | Verdict::Made(_) => None,
    };
    failure.into_iter().chain(outcome.problems.iter().map(|problem| &problem.text[..])).collect()
}

impl listing::Field<Outcome> for Field {
    fn align(self) -> Align {
        match self {
            Field::Read | Field::New | Field::Seconds | Field::Removed => Align::Right,
            _ => Align::Left,
        }
    }

    fn cell(self, outcome: &Outcome, human: bool) -> String {
        match (self, self.value(outcome)) {
            (Field::Read | Field::New, Value::Number(bytes)) if human => {
                human::size(bytes.as_u64().unwrap_or_default())
            }
            (Field::Problems, _) => problems(outcome).join("; "),
            (_, Value::String(text)) => text,
            (_, Value::Null) => String::new(),
            (_, Value::Bool(truth)) => u8::from(truth).to_string(),
            (_, value) => value.to_string(),
        }
    }

    fn value(self, outcome: &Outcome) -> Value {
        let made = made(outcome);
        match self {
            Field::Job => outcome.job.clone().into(),
            Field::Name => outcome.name.clone().into(),
            Field::Result => word(outcome).into(),
            Field::Uid => made.map_or(Value::Null, |made| made.uid.clone().into()),
            Field::Read => made.map_or(Value::Null, |made| made.read.into()),
            Field::New => made.map_or(Value::Null, |made| made.new.into()),
            Field::Seconds => outcome.duration.as_secs().into(),
            Field::Verified => made.and_then(|made| made.verified).map_or(Value::Null, Value::Bool),
            Field::Removed => outcome.removed.into(),
            Field::Problems => json!(problems(outcome)),
        }
    }
}

/// The columns of `run --dry-run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlanField {
    Job,
    Name,
    Source,
    Due,
    Expire,
}

impl Choice for PlanField {
    const ALL: &'static [Self] =
        &[PlanField::Job, PlanField::Name, PlanField::Source, PlanField::Due, PlanField::Expire];

    fn title(self) -> &'static str {
        match self {
            PlanField::Job => "job",
            PlanField::Name => "name",
            PlanField::Source => "source",
            PlanField::Due => "due",
            PlanField::Expire => "expire",
        }
    }
}

impl listing::Field<Task<'_>> for PlanField {
    fn align(self) -> Align {
        Align::Left
    }

    fn cell(self, task: &Task<'_>, _human: bool) -> String {
        match (self, &task.need) {
            (PlanField::Job, _) => task.job.job.clone(),
            (PlanField::Name, _) => task.name.clone(),
            (PlanField::Source, _) => task.source.clone(),
            (PlanField::Due, Need::Due { why, .. } | Need::Impossible(why)) => why.clone(),
            (PlanField::Expire, Need::Due { expire: Some(expire), .. }) => expire.to_string(),
            (PlanField::Due | PlanField::Expire, _) => String::new(),
        }
    }

    fn value(self, task: &Task<'_>) -> Value {
        match (self, &task.need) {
            (PlanField::Expire, Need::Due { expire: Some(expire), .. }) => listing::date(*expire),
            (PlanField::Due, Need::Due { why, .. } | Need::Impossible(why)) => why.clone().into(),
            (PlanField::Due | PlanField::Expire, _) => Value::Null,
            _ => self.cell(task, false).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines_stand_in_columns() {
        let outcome = |name: &str, verdict: Verdict| Outcome {
            job: name.into(),
            name: name.into(),
            verdict,
            duration: Duration::from_secs(200),
            removed: 2,
            problems: Vec::new(),
        };
        let made = BackedUp { uid: "u".into(), read: 20 << 30, new: 312 << 20, verified: Some(true) };
        let outcomes = [outcome("web", Verdict::Made(made)), outcome("archive", Verdict::NotDue)];
        assert_eq!(
            lines(&outcomes, Some(80)),
            "web      done     20 GiB read  312 MiB new  3 min  verified  2 removed\n\
             archive  not due                                             2 removed\n"
        );
    }
}

//! `run`: makes the backups that are due, removes the versions that need not stay, deletes data that no version uses, and
//! reads a part of the new data again.
//!
//! Each step is a process: this program with the arguments that a user would give, or a shell with the command of a hook.
//! So a step that takes too long can be ended, and the failure of one job touches no other.

mod child;
mod hook;
mod step;
mod task;

use crate::engine::Site;
use crate::engine::jobs::{Need, Task};
use crate::locks::Guard;
use crate::monitor::{Activity, Progress};
use crate::pool::threads;
use crate::types::error::{Error, Result};
use child::Ended;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) use hook::{Hook, Variable};
pub(crate) use step::{Program, Step};
pub(crate) use task::BackedUp;

/// The variable that tells programs that a run or a hook has started them. A command of this program that finds it runs no
/// hooks, so that a hook which calls this program does not call itself for ever.
pub(crate) const NESTED: &str = "BACKY2_NESTED";

/// The result of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No backup was due.
    NotDue,
    /// Another run is busy with it.
    Busy,
    /// The backup was made.
    Made(BackedUp),
    /// No backup was made. The text says why.
    Failed(String),
}

/// What happened to a task.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The name of the job.
    pub job: String,
    /// The name of the versions.
    pub name: String,
    /// The result.
    pub verdict: Verdict,
    /// How long the backup took, with its hooks and its verification.
    pub duration: Duration,
    /// The number of versions that were removed.
    pub removed: u64,
    /// Further problems: a hook that failed after the backup, bad data, versions that could not be removed.
    pub problems: Vec<Problem>,
}

/// A problem of a job that is not the failure of its backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What went wrong, as a sentence.
    pub text: String,
    /// Whether data was found to be bad.
    pub is_damage: bool,
}

/// What happened in a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// The tasks, in the order of the configuration.
    pub outcomes: Vec<Outcome>,
    /// Why the cleanup failed.
    pub cleanup: Option<String>,
}

impl Report {
    /// Whether nothing was due and nothing went wrong.
    pub(crate) fn is_silent(&self) -> bool {
        self.is_good() && self.outcomes.iter().all(|o| matches!(o.verdict, Verdict::NotDue | Verdict::Busy))
    }

    /// Whether nothing went wrong.
    pub(crate) fn is_good(&self) -> bool {
        self.cleanup.is_none() && self.outcomes.iter().all(Outcome::is_good)
    }

    /// Whether the only problems are bad data.
    pub(crate) fn is_damage(&self) -> bool {
        let only_damage = |outcome: &Outcome| outcome.is_good() || outcome.is_damage();
        !self.is_good() && self.cleanup.is_none() && self.outcomes.iter().all(only_damage)
    }
}

/// Carries out the tasks, and then prunes and cleans up. `tell` is called with each outcome of a task that had something to
/// do, as soon as it is known.
///
/// # Errors
/// A lock cannot be looked at; there are no threads; a signal, after the steps that were under way have ended.
pub(crate) fn run(
    site: &Site<'_>,
    program: &Program<'_>,
    tasks: &[Task<'_>],
    tell: &(dyn Fn(&Outcome) + Sync),
) -> Result<Report> {
    let monitor = site.monitor;
    let mut guards: Vec<Option<Guard>> = Vec::with_capacity(tasks.len());
    for task in tasks {
        let is_due = matches!(task.need, Need::Due { .. });
        guards.push(if is_due { site.locks.own_job(&task.name)? } else { None });
    }
    let work: Vec<usize> = (0..tasks.len()).filter(|n| guards[*n].is_some()).collect();
    let outcomes = Mutex::new(Vec::with_capacity(tasks.len()));
    let settings = &site.config.run;
    let (next, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let worker = || {
        while let Some(n) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            if monitor.interrupted().is_some() {
                break;
            }
            let outcome = task::carry_out(program, &tasks[*n], settings.verify, monitor);
            let done = ended.fetch_add(1, Ordering::Relaxed) + 1;
            let step = &format!("{} has ended", outcome.name);
            monitor.progress(&Progress::new(Activity::Run { step }, done as u64, work.len() as u64, 0));
            tell(&outcome);
            outcomes.lock().unwrap_or_else(|e| e.into_inner()).push((*n, outcome));
        }
    };
    std::thread::scope(|scope| {
        let started = (1..settings.simultaneous_jobs.min(work.len()))
            .map(|_| threads::start_scoped(scope, worker))
            .collect::<Result<Vec<_>>>();
        worker();
        started.map(drop)
    })?;
    drop(guards.drain(..).flatten().collect::<Vec<_>>());
    monitor.check()?;
    let mut done = outcomes.into_inner().unwrap_or_else(|e| e.into_inner());
    for (n, task) in tasks.iter().enumerate().filter(|(n, _)| !work.contains(n)) {
        let verdict = match &task.need {
            Need::Nothing => Verdict::NotDue,
            Need::Due { .. } => Verdict::Busy,
            Need::Impossible(why) => Verdict::Failed(why.clone()),
        };
        done.push((n, Outcome::of(task, verdict)));
    }
    done.sort_by_key(|(n, _)| *n);
    let mut report =
        Report { outcomes: done.into_iter().map(|(_, outcome)| outcome).collect(), cleanup: None };
    for (task, outcome) in tasks.iter().zip(&mut report.outcomes) {
        // A name whose backup has just failed keeps what it has.
        let is_made = matches!(outcome.verdict, Verdict::Made(_));
        if is_made || task.is_known && outcome.verdict == Verdict::NotDue {
            monitor.check()?;
            task::prune(program, task, outcome, monitor);
        }
    }
    monitor.check()?;
    report.cleanup = program.cleanup(monitor).err().map(|error| error.line());
    Ok(report)
}

impl Outcome {
    /// Whether nothing went wrong.
    pub(crate) fn is_good(&self) -> bool {
        !matches!(self.verdict, Verdict::Failed(_)) && self.problems.is_empty()
    }

    /// Whether the only problems are bad data.
    pub(crate) fn is_damage(&self) -> bool {
        let is_made = !matches!(self.verdict, Verdict::Failed(_));
        is_made && !self.problems.is_empty() && self.problems.iter().all(|problem| problem.is_damage)
    }

    fn of(task: &Task<'_>, verdict: Verdict) -> Self {
        Outcome {
            job: task.job.job.clone(),
            name: task.name.clone(),
            verdict,
            duration: Duration::ZERO,
            removed: 0,
            problems: Vec::new(),
        }
    }
}

/// The error for a step that failed.
fn failed(text: String) -> Error {
    Error::refused(text)
}

/// How a program ended, as the end of a sentence.
fn how(ended: Ended) -> String {
    match ended {
        Ended::Exit(code) => format!("ended with exit code {code}"),
        Ended::Killed(signal) => format!("was killed by signal {signal}"),
        Ended::TimedOut => "took longer than the timeout, and was ended".to_owned(),
        Ended::Stopped(signal) => format!("was interrupted by {}", signal.name()),
    }
}

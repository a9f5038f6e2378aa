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
use crate::engine::jobs::{self, Need, Task};
use crate::locks::{Holder, Locks};
use crate::monitor::{Activity, Level, Monitor, Progress};
use crate::pool::threads;
use crate::types::error::{Error, Result, Signal};
use crate::types::time::Timestamp;
use child::Ended;
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) use hook::{Hook, Variable};
pub(crate) use step::{Program, Said, Step};
pub(crate) use task::BackedUp;

/// The variable that tells programs that a run or a hook has started them. A command of this program that finds it runs no
/// hooks, so that a hook which calls this program does not call itself for ever.
pub(crate) const NESTED: &str = "BACKY2_NESTED";

/// How long another run may work on a job before that is a problem.
const LONG: TimeDelta = TimeDelta::hours(24);

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
    /// The signal that has ended the run.
    pub interrupted: Option<Signal>,
}

impl Report {
    /// Whether nothing was due and nothing went wrong.
    pub(crate) fn is_silent(&self) -> bool {
        self.is_good() && self.outcomes.iter().all(|o| matches!(o.verdict, Verdict::NotDue | Verdict::Busy))
    }

    /// Whether nothing went wrong.
    pub(crate) fn is_good(&self) -> bool {
        self.interrupted.is_none() && self.cleanup.is_none() && self.outcomes.iter().all(Outcome::is_good)
    }

    /// Whether the only problems are bad data.
    pub(crate) fn is_damage(&self) -> bool {
        let only_damage = |outcome: &Outcome| outcome.is_good() || outcome.is_damage();
        !self.is_good() && self.cleanup.is_none() && self.outcomes.iter().all(only_damage)
    }
}

/// Carries out the tasks, and then cleans up. `tell` is called with each outcome of a task that had something to do, as soon
/// as it is known. After a signal, the report has what was done until then.
///
/// # Errors
/// There are no threads.
pub(crate) fn run(
    site: &mut Site<'_>,
    program: &Program<'_>,
    tasks: &[Task<'_>],
    tell: &(dyn Fn(&Outcome) + Sync),
) -> Result<Report> {
    let (monitor, settings) = (site.monitor, &site.config.run);
    let due: Vec<usize> = (0..tasks.len()).filter(|n| matches!(tasks[*n].need, Need::Due { .. })).collect();
    let shift = Shift { locks: site.locks.clone(), site: Mutex::new(site), program, verify: settings.verify };
    let outcomes = Mutex::new(Vec::with_capacity(tasks.len()));
    let (next, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let worker = || {
        while let Some(n) = due.get(next.fetch_add(1, Ordering::Relaxed)) {
            if monitor.interrupted().is_some() {
                break;
            }
            let outcome = shift.attend(&tasks[*n], monitor);
            let done = ended.fetch_add(1, Ordering::Relaxed) + 1;
            let step = &format!("{} has ended", outcome.name);
            monitor.progress(&Progress::new(Activity::Run { step }, done as u64, due.len() as u64, 0));
            if outcome.verdict != Verdict::Busy {
                tell(&outcome);
            }
            outcomes.lock().unwrap_or_else(|e| e.into_inner()).push((*n, outcome));
        }
    };
    std::thread::scope(|scope| {
        let started = (1..settings.simultaneous_jobs.min(due.len()))
            .map(|_| threads::start_scoped(scope, worker))
            .collect::<Result<Vec<_>>>();
        worker();
        started.map(drop)
    })?;
    let mut done: BTreeMap<usize, Outcome> =
        outcomes.into_inner().unwrap_or_else(|e| e.into_inner()).into_iter().collect();
    let outcome = |(n, task)| done.remove(&n).unwrap_or_else(|| without_work(task));
    let outcomes = tasks.iter().enumerate().map(outcome).collect();
    let mut report = Report { outcomes, cleanup: None, interrupted: None };
    report.interrupted = tidy(program, tasks, &mut report, monitor).err();
    Ok(report)
}

/// What the workers of a run have in common.
struct Shift<'r, 's> {
    locks: Locks,
    site: Mutex<&'r mut Site<'s>>,
    program: &'r Program<'r>,
    /// How much of each new version is verified, in percent.
    verify: u8,
}

impl Shift<'_, '_> {
    /// Does everything for a task that is due, with the lock of its job.
    ///
    /// Each task has the lock only while somebody works on it. So a job that hangs keeps no other from the next run.
    fn attend(&self, task: &Task<'_>, monitor: &dyn Monitor) -> Outcome {
        let lock = match self.locks.own_job(&task.name) {
            Ok(Some(lock)) => lock,
            Ok(None) => return self.busy(task),
            Err(error) => return Outcome::of(task, Verdict::Failed(error.line())),
        };
        let task = &self.renewed(task, monitor);
        if task.need == Need::Nothing {
            return Outcome::of(task, Verdict::NotDue);
        }
        let mut outcome = task::carry_out(self.program, task, self.verify, &lock, monitor);
        // A name whose backup has just failed keeps what it has.
        if matches!(outcome.verdict, Verdict::Made(_)) && monitor.interrupted().is_none() {
            task::prune(self.program, task, &mut outcome, monitor);
        }
        outcome
    }

    /// The task as it is now: another run may have made the backup while this one was busy with others.
    fn renewed<'c>(&self, task: &Task<'c>, monitor: &dyn Monitor) -> Task<'c> {
        let mut site = self.site.lock().unwrap_or_else(|e| e.into_inner());
        jobs::renewed(&mut site, task, Timestamp::now()).unwrap_or_else(|error| {
            // If the database is out of order, the backup says so.
            monitor.say(Level::Info, &format!("{}: {}", task.name, error.line()));
            task.clone()
        })
    }

    /// The outcome of a task that another run is working on.
    fn busy(&self, task: &Task<'_>) -> Outcome {
        let mut outcome = Outcome::of(task, Verdict::Busy);
        // If it cannot be found out, the next run tries again.
        let holder = self.locks.holder_of_job(&task.name).ok().flatten();
        let text = holder.and_then(|holder| too_long(&holder, Timestamp::now()));
        outcome.problems.extend(text.map(|text| Problem { text, is_damage: false }));
        outcome
    }
}

/// The problem of a job on which another run has been working for too long at `now`.
fn too_long(holder: &Holder, now: Timestamp) -> Option<String> {
    let Holder { host, pid, .. } = holder;
    let since = holder.since.filter(|since| now.since(*since) > LONG)?;
    Some(format!(
        "an earlier run (process {pid} on {host}) has been working on it since {since} UTC. If it hangs, end that process."
    ))
}

/// The outcome of a task on which nobody has worked.
fn without_work(task: &Task<'_>) -> Outcome {
    Outcome::of(
        task,
        match &task.need {
            Need::Nothing => Verdict::NotDue,
            Need::Due { .. } => Verdict::Failed("the run was interrupted before".to_owned()),
            Need::Impossible(why) => Verdict::Failed(why.clone()),
        },
    )
}

/// Removes old versions of tasks that were not due, and then data that no version uses.
///
/// # Errors
/// A signal.
fn tidy(
    program: &Program<'_>,
    tasks: &[Task<'_>],
    report: &mut Report,
    monitor: &dyn Monitor,
) -> std::result::Result<(), Signal> {
    let check = || monitor.interrupted().map_or(Ok(()), Err);
    for (task, outcome) in tasks.iter().zip(&mut report.outcomes) {
        check()?;
        if task.is_known && task.need == Need::Nothing {
            task::prune(program, task, outcome, monitor);
        }
    }
    check()?;
    match program.cleanup(monitor) {
        Err(Error::Interrupted(signal)) => Err(signal),
        done => {
            report.cleanup = done.err().map(|error| error.line());
            Ok(())
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_may_be_busy_for_a_day() {
        let at = |text| Timestamp::parse(text).expect(text);
        let holder = Holder {
            name: "job-web".into(),
            exclusive: true,
            host: "vault".into(),
            pid: 4711,
            command: String::new(),
            since: Some(at("2026-11-20 03:00:00")),
            heard: None,
        };
        assert_eq!(too_long(&holder, at("2026-11-21 03:00:00")), None);
        let text = too_long(&holder, at("2026-11-21 03:00:01")).expect("a problem");
        assert!(
            text.contains("process 4711 on vault") && text.contains("since 2026-11-20 03:00:00"),
            "{text}"
        );
        assert_eq!(too_long(&Holder { since: None, ..holder }, at("2026-11-21 03:00:01")), None);
    }
}

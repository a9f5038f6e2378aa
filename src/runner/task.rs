//! One task: hook, backup, hook, verification, and the removal of versions.

use super::step::{self, Facts, Program};
use super::{Outcome, Problem, Verdict};
use crate::engine::jobs::Task;
use crate::locks::Guard;
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};
use serde_json::Value;
use std::time::Instant;

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackedUp {
    /// The uid of the version.
    pub uid: String,
    /// Bytes that were read.
    pub read: u64,
    /// Bytes that were not stored yet.
    pub new: u64,
    /// Whether the part of the version that was read again is good. `None`: nothing was read again.
    pub verified: Option<bool>,
}

/// Carries out a task that is due. `lock` is the lock of the job.
pub(super) fn carry_out(
    program: &Program<'_>,
    task: &Task<'_>,
    verify: u8,
    lock: &Guard,
    monitor: &dyn Monitor,
) -> Outcome {
    let start = Instant::now();
    let mut outcome = Outcome::of(task, Verdict::NotDue);
    let until = task.job.timeout.map(|limit| start + limit);
    let made = back_up(program, task, until, lock, monitor);
    let result = match &made {
        Ok(_) => "done",
        Err(Error::Interrupted(_)) => "interrupted",
        Err(_) => "failed",
    };
    let version = made.as_ref().ok().map(|made| &made.uid[..]);
    if let Err(error) = step::after(&Facts { task, result: Some(result), version, lock }, monitor) {
        outcome.problems.push(Problem { text: error.line(), is_damage: false });
    }
    outcome.verdict = match made {
        Ok(mut made) => {
            if verify > 0 && monitor.interrupted().is_none() {
                verify_some(program, &mut made, verify, &mut outcome, lock, monitor);
            }
            Verdict::Made(made)
        }
        Err(error) => Verdict::Failed(error.line()),
    };
    outcome.duration = start.elapsed();
    outcome
}

fn back_up(
    program: &Program<'_>,
    task: &Task<'_>,
    until: Option<Instant>,
    lock: &Guard,
    monitor: &dyn Monitor,
) -> Result<BackedUp> {
    step::before(&Facts { task, result: None, version: None, lock }, until, monitor)?;
    let document = program.backup(task, until, lock, monitor)?;
    let number = |key: &str| document["statistics"][key].as_u64().unwrap_or_default();
    Ok(BackedUp {
        uid: document["version"]["uid"].as_str().unwrap_or_default().to_owned(),
        read: number("bytes_read"),
        new: number("bytes_written"),
        verified: None,
    })
}

fn verify_some(
    program: &Program<'_>,
    made: &mut BackedUp,
    percent: u8,
    outcome: &mut Outcome,
    lock: &Guard,
    monitor: &dyn Monitor,
) {
    match program.verify(&made.uid, percent, lock, monitor) {
        Ok(good) => {
            made.verified = Some(good);
            if !good {
                let text = format!("version {} has bad data; see the logfile", made.uid);
                outcome.problems.push(Problem { text, is_damage: true });
            }
        }
        Err(Error::Interrupted(_)) => {}
        Err(error) => {
            let text = format!("the new version was not verified: {}", error.line());
            outcome.problems.push(Problem { text, is_damage: false });
        }
    }
}

/// Removes the versions of a task that need not stay.
pub(super) fn prune(program: &Program<'_>, task: &Task<'_>, outcome: &mut Outcome, monitor: &dyn Monitor) {
    match program.prune(&task.name, monitor) {
        Ok(document) => outcome.removed = removed(&document),
        Err(Error::Interrupted(_)) => {}
        Err(error) => {
            let text = format!("versions that need not stay were not all removed: {}", error.line());
            outcome.problems.push(Problem { text, is_damage: false });
        }
    }
}

/// The number of versions that a prune has removed, from its document.
fn removed(document: &Value) -> u64 {
    let versions = document["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    versions.iter().filter(|version| version["action"] == "remove").count() as u64
}

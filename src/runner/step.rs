//! The steps of a job: commands of this program, and the commands before and after.

use super::child::{self, Bounds, Ended};
use super::hook::{Hook, Variable};
use super::{failed, how};
use crate::engine::jobs::Task;
use crate::locks::{Guard, OTHER_CLEANUP};
use crate::monitor::{Level, Monitor};
use crate::types::error::{Error, Result};
use serde_json::Value;
use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

/// This program, even if another release has been installed in the meantime.
const ITSELF: &str = "/proc/self/exe";
/// The time limit for a hook after a job without a time limit.
const AFTER: Duration = Duration::from_secs(3600);
/// The exit code of a scrub that has found bad data.
pub(super) const BAD_DATA: u8 = 20;

/// The most bytes of the document of a step.
const MOST_OUTPUT: u64 = 64 << 20;

/// A command of this program.
#[derive(Clone, Copy)]
pub(crate) enum Step<'s> {
    /// Makes the backup of a task.
    Backup(&'s Task<'s>),
    /// Reads `percent` of the version `uid` again.
    Verify {
        /// The uid of the version.
        uid: &'s str,
        /// How much is read, in percent.
        percent: u8,
    },
    /// Removes the versions of this name that need not stay.
    Prune(&'s str),
    /// Deletes data that no version uses.
    Cleanup,
}

/// How this program is called.
pub(crate) struct Program<'a> {
    /// The arguments for a step whose result is a JSON document.
    pub words: &'a (dyn Fn(Step<'_>) -> Vec<OsString> + Sync),
    /// Shows the stderr of a step. The step itself has written it to the logfile.
    pub show: &'a (dyn Fn(&Said<'_>) + Sync),
}

/// The stderr of a step that has ended.
pub(crate) struct Said<'a> {
    /// The subject of the step, such as the name of the versions.
    pub about: &'a str,
    /// The lines.
    pub lines: &'a [String],
    /// The error in the document of the step. It becomes a problem of the task, which is reported at the end.
    pub error: Option<&'a str>,
}

/// The environment of a hook.
pub(super) struct Facts<'a> {
    pub task: &'a Task<'a>,
    /// For the hook afterwards: `done`, `failed` or `interrupted`.
    pub result: Option<&'static str>,
    /// The uid of the new version.
    pub version: Option<&'a str>,
    /// The lock of the job.
    pub lock: &'a Guard,
}

impl Program<'_> {
    /// Runs a step, and returns its document and its exit code, which is 0 or one of `accepted`.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; any other exit code; the time is up.
    fn call(
        &self,
        step: Step<'_>,
        accepted: &[u8],
        until: Option<Instant>,
        lock: Option<&Guard>,
        monitor: &dyn Monitor,
    ) -> Result<(Value, u8)> {
        let mut command = Command::new(ITSELF);
        command.args((self.words)(step));
        let stop = || monitor.interrupted();
        let finished = child::run(command, &Bounds { until, stop: &stop, lock, most_output: MOST_OUTPUT })?;
        let value: Value = serde_json::from_str(finished.stdout.trim()).unwrap_or_default();
        let why = value.get("error").and_then(Value::as_str);
        (self.show)(&Said { about: step.about(), lines: &finished.stderr, error: why });
        match finished.ended {
            Ended::Exit(code) if code == 0 || accepted.contains(&code) => Ok((value, code)),
            Ended::Stopped(signal) => Err(Error::Interrupted(signal)),
            // The step says only that it was interrupted.
            Ended::TimedOut => Err(failed(format!("{} {}", step.noun(), how(Ended::TimedOut)))),
            ended => {
                let why = why.map(str::to_owned);
                Err(failed(why.unwrap_or_else(|| format!("{} {}", step.noun(), how(ended)))))
            }
        }
    }

    /// Makes the backup of a task. Returns the document.
    ///
    /// # Errors
    /// The backup fails.
    pub(super) fn backup(
        &self,
        task: &Task<'_>,
        until: Option<Instant>,
        lock: &Guard,
        monitor: &dyn Monitor,
    ) -> Result<Value> {
        self.call(Step::Backup(task), &[], until, Some(lock), monitor).map(|(value, _)| value)
    }

    /// Reads `percent` of a version again. Returns whether it is good.
    ///
    /// # Errors
    /// The scrub fails.
    pub(super) fn verify(&self, uid: &str, percent: u8, lock: &Guard, monitor: &dyn Monitor) -> Result<bool> {
        let (_, code) = self.call(Step::Verify { uid, percent }, &[BAD_DATA], None, Some(lock), monitor)?;
        Ok(code != BAD_DATA)
    }

    /// Removes the versions of a name that need not stay. Returns the document.
    ///
    /// # Errors
    /// A version cannot be removed.
    pub(super) fn prune(&self, name: &str, monitor: &dyn Monitor) -> Result<Value> {
        self.call(Step::Prune(name), &[], None, None, monitor).map(|(value, _)| value)
    }

    /// Deletes data that no version uses, unless another cleanup is doing that.
    ///
    /// # Errors
    /// The cleanup fails.
    pub(super) fn cleanup(&self, monitor: &dyn Monitor) -> Result<()> {
        match self.call(Step::Cleanup, &[], None, None, monitor) {
            Err(error) if error.line().starts_with(OTHER_CLEANUP) => {
                let text = format!("{OTHER_CLEANUP}, and deletes what no version uses.");
                monitor.say(Level::Info, &text);
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

impl Step<'_> {
    /// The subject of messages about the step.
    fn about(&self) -> &str {
        match self {
            Step::Backup(task) => &task.name,
            Step::Verify { uid, .. } => uid,
            Step::Prune(name) => name,
            Step::Cleanup => "cleanup",
        }
    }

    /// The step, as the subject of a sentence.
    fn noun(&self) -> &'static str {
        match self {
            Step::Backup(_) => "the backup",
            Step::Verify { .. } => "the scrub",
            Step::Prune(_) => "the removal",
            Step::Cleanup => "the cleanup",
        }
    }
}

/// Runs the command `before` of a task.
///
/// # Errors
/// It fails, or the time is up.
pub(super) fn before(facts: &Facts<'_>, until: Option<Instant>, monitor: &dyn Monitor) -> Result<()> {
    let Some(script) = &facts.task.job.before else { return Ok(()) };
    hook("before", script, facts).run(until, monitor, &|| monitor.interrupted())
}

/// Runs the command `after` of a task, also after a signal.
///
/// # Errors
/// It fails, or takes longer than the job may.
pub(super) fn after(facts: &Facts<'_>, monitor: &dyn Monitor) -> Result<()> {
    let Some(script) = &facts.task.job.after else { return Ok(()) };
    let until = Instant::now() + facts.task.job.timeout.unwrap_or(AFTER);
    hook("after", script, facts).run(Some(until), monitor, &|| None)
}

/// The command of a job.
fn hook<'a>(key: &'a str, script: &'a str, facts: &Facts<'a>) -> Hook<'a> {
    let Task { job, source, name, item, .. } = facts.task;
    let of_job =
        [("BACKY2_JOB", &job.job), ("BACKY2_NAME", name), ("BACKY2_SOURCE", source), ("BACKY2_ITEM", item)];
    let mut environment: Vec<Variable> =
        of_job.into_iter().map(|(variable, value)| (variable, Some(value.into()))).collect();
    if let Some(result) = facts.result {
        environment.push(("BACKY2_RESULT", Some(result.into())));
        environment.push(("BACKY2_VERSION", Some(facts.version.unwrap_or_default().into())));
    }
    Hook { job: Some(name), key, script, environment, level: Level::Error, lock: Some(facts.lock) }
}

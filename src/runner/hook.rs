//! Shell commands that the configuration names, around the jobs of a run and around other commands.

use super::child::{self, Bounds, Ended, Finished};
use super::{failed, how};
use crate::locks::Guard;
use crate::monitor::{Level, Monitor};
use crate::types::error::{Error, Result, Signal};
use std::ffi::OsString;
use std::process::Command;
use std::time::Instant;

/// The most bytes of the stdout, and of the stderr, of a command that are reported.
const MOST_OUTPUT: u64 = 64 << 10;

/// A variable, and its value; `None` removes it from the environment.
pub(crate) type Variable = (&'static str, Option<OsString>);

/// A shell command.
pub(crate) struct Hook<'a> {
    /// The job that it belongs to. It precedes messages.
    pub job: Option<&'a str>,
    /// The key in the configuration.
    pub key: &'a str,
    /// The command line.
    pub script: &'a str,
    /// The variables that differ from those of this process.
    pub environment: Vec<Variable>,
    /// The level of its output if it fails.
    pub level: Level,
    /// The lock that the command keeps until it has ended.
    pub lock: Option<&'a Guard>,
}

impl Hook<'_> {
    /// Runs the command until it ends, until the moment `until`, or until `stop` returns a signal.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; it cannot be started, fails, or takes too long.
    pub(crate) fn run(
        self,
        until: Option<Instant>,
        monitor: &dyn Monitor,
        stop: &dyn Fn() -> Option<Signal>,
    ) -> Result<()> {
        let Hook { job, key, script, environment, level, lock } = self;
        let subject = job.map_or_else(|| key.to_owned(), |job| format!("{job}: {key}"));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        monitor.say(Level::Info, &format!("{subject}: {script}"));
        let Finished { ended, stdout, stderr } =
            child::run(command, &Bounds { until, stop, lock, most_output: MOST_OUTPUT })?;
        let level = if ended == Ended::Exit(0) { Level::Info } else { level };
        for line in stdout.lines().map(str::trim_end).chain(stderr.iter().map(String::as_str)) {
            monitor.say(level, &format!("{subject}: {line}"));
        }
        match ended {
            Ended::Exit(0) => Ok(()),
            Ended::Stopped(signal) => Err(Error::Interrupted(signal)),
            ended => Err(failed(format!("the command `{key}` {}", how(ended)))),
        }
    }
}

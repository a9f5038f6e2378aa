//! The commands of `[hooks]`, around other commands.

use super::args::Global;
use super::facts::{Ended, Facts, Failure};
use super::terminal::Terminal;
use crate::config::Hooks;
use crate::monitor::{Level, Monitor};
use crate::runner::{Hook, NESTED, Variable};
use crate::types::error::{Error, Result};
use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

/// What hooks of one command have in common.
pub(super) struct Around<'a> {
    hooks: &'a Hooks,
    terminal: &'a Terminal,
    /// The variables that select the installation.
    selection: [Variable; 2],
    /// Whether a run or a hook has started this program, which then has no hooks.
    is_nested: bool,
}

impl<'a> Around<'a> {
    /// The hooks of a command with the options `global`.
    pub(super) fn new(hooks: &'a Hooks, terminal: &'a Terminal, global: &Global) -> Self {
        let absolute = |path: &Option<OsString>| {
            let path = Path::new(path.as_ref()?);
            Some(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into_os_string())
        };
        let selection =
            [("BACKY2_CONFIG", absolute(&global.configfile)), ("BACKY2_DIR", absolute(&global.backupdir))];
        Around { hooks, terminal, selection, is_nested: std::env::var_os(NESTED).is_some() }
    }

    /// Runs `before`.
    ///
    /// # Errors
    /// It fails, takes too long, or a signal has come. The command must not be carried out then.
    pub(super) fn before(&self, facts: &Facts) -> Result<()> {
        let Some(script) = self.script(facts, &self.hooks.before) else { return Ok(()) };
        let environment = self.environment("before", facts, None, None);
        let hook = Hook { job: None, key: "before", script, environment, level: Level::Error, lock: None };
        self.run(hook).map_err(|error| match error {
            Error::Interrupted(_) => error,
            error => Error::refused(format!("Nothing was done: {}.", error.line())),
        })
    }

    /// Runs `on_failure` if the command has failed, once for each failure in a run, and then `after`. Their failures are
    /// warnings.
    pub(super) fn after(&self, facts: &Facts, ended: &Ended) {
        let failures: Vec<Option<&Failure>> = match &facts.failures[..] {
            _ if ended.is_good() => Vec::new(),
            [] => vec![None],
            failures => failures.iter().map(Some).collect(),
        };
        if let Some(script) = self.script(facts, &self.hooks.on_failure) {
            for failure in failures {
                self.run_late("on_failure", script, facts, ended, failure);
            }
        }
        if let Some(script) = self.script(facts, &self.hooks.after) {
            self.run_late("after", script, facts, ended, None);
        }
    }

    /// The command line of a hook, if it is to be run.
    fn script(&self, facts: &Facts, configured: &'a Option<String>) -> Option<&'a str> {
        configured.as_deref().filter(|_| facts.command.is_some() && !self.is_nested)
    }

    fn run_late(&self, key: &str, script: &str, facts: &Facts, ended: &Ended, failure: Option<&Failure>) {
        let environment = self.environment(key, facts, Some(ended), failure);
        let hook = Hook { job: None, key, script, environment, level: Level::Warning, lock: None };
        // A signal that has ended the command or another hook does not end this one, but a further one does.
        self.terminal.forgive_signals();
        match self.run(hook) {
            Ok(()) => {}
            Err(Error::Interrupted(signal)) => {
                self.terminal
                    .notice(&format!("The command `{key}` of [hooks] was ended by {}.", signal.name()));
            }
            Err(error) => self.terminal.notice(&format!("[hooks]: {}.", error.line())),
        }
    }

    fn run(&self, hook: Hook<'_>) -> Result<()> {
        let until = Instant::now() + self.hooks.timeout;
        hook.run(Some(until), self.terminal, &|| self.terminal.interrupted())
    }

    /// The environment of a hook. Variables without a value are removed, because another program may have set them.
    fn environment(
        &self,
        key: &str,
        facts: &Facts,
        ended: Option<&Ended>,
        failure: Option<&Failure>,
    ) -> Vec<Variable> {
        let of = |text: &Option<String>| text.clone();
        let job = failure.filter(|failure| failure.job.is_some());
        let code = job.map(|failure| failure.code).or(ended.map(|ended| ended.code));
        let error = failure.map(|failure| failure.error.clone());
        let error = error.or_else(|| ended.filter(|ended| !ended.is_good())?.error.clone());
        // Failures of a job have facts of their own.
        let own = |job: Option<String>, common: Option<String>| if failure.is_some() { job } else { common };
        let variables = [
            ("BACKY2_HOOK", Some(key.to_owned())),
            ("BACKY2_COMMAND", facts.command.map(str::to_owned)),
            ("BACKY2_JOB", job.and_then(|failure| of(&failure.job))),
            ("BACKY2_NAME", own(failure.and_then(|failure| of(&failure.name)), of(&facts.name))),
            ("BACKY2_SOURCE", own(failure.and_then(|failure| of(&failure.source)), of(&facts.source))),
            ("BACKY2_TARGET", of(&facts.target)),
            ("BACKY2_VERSION", of(&facts.version)),
            ("BACKY2_RESULT", ended.map(|ended| ended.result().to_owned())),
            ("BACKY2_EXIT_CODE", code.map(|code| code.to_string())),
            ("BACKY2_ERROR", error),
            ("BACKY2_DURATION", ended.map(|ended| ended.duration.as_secs().to_string())),
            ("BACKY2_BYTES_READ", own(None, facts.read.map(|bytes| bytes.to_string()))),
            ("BACKY2_BYTES_NEW", own(None, facts.new.map(|bytes| bytes.to_string()))),
        ];
        // The environment cannot hold a NUL.
        let value = |text: String| OsString::from(text.replace('\0', "\\0"));
        let variables = variables.into_iter().map(|(name, text)| (name, text.map(value)));
        variables.chain(self.selection.iter().cloned()).collect()
    }
}

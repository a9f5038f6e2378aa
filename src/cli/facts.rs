//! The facts about a command, for hooks and metrics.

use super::args::Command;
use super::exit;
use crate::types::time::Timestamp;
use crate::types::version::Version;
use std::time::{Duration, Instant};

/// The facts about a command. It adds them as it learns them, so that they are known even if it fails.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The name of the command; `None` for commands without hooks and metrics.
    pub command: Option<&'static str>,
    /// The name of the versions.
    pub name: Option<String>,
    /// The source of a backup, as it was given.
    pub source: Option<String>,
    /// The target of a restore, as it was given.
    pub target: Option<String>,
    /// The uid of the version that was made, restored, verified or removed.
    pub version: Option<String>,
    /// Bytes that a backup has read.
    pub read: Option<u64>,
    /// Bytes that a backup has stored, before compression.
    pub new: Option<u64>,
    /// The failures in a run.
    pub failures: Vec<Failure>,
}

/// A failure in a run: of a job, or of the rest of its work.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The job.
    pub job: Option<String>,
    /// The name of its versions, if it is known.
    pub name: Option<String>,
    /// Its source, if it is known.
    pub source: Option<String>,
    /// Whether there is no backup. Otherwise something else went wrong.
    pub is_backup: bool,
    /// What went wrong.
    pub error: String,
    /// The exit code of a run with no other failure.
    pub code: u8,
}

impl Facts {
    /// The facts that the command line tells. Commands that only list, or only say what they would do, have no hooks and no
    /// metrics.
    pub(crate) fn of(command: &Command) -> Self {
        let facts = |command| Facts { command: Some(command), ..Facts::default() };
        match command {
            Command::Backup(args) => {
                Facts { name: Some(args.name.clone()), source: Some(args.source.clone()), ..facts("backup") }
            }
            Command::Restore(args) => Facts { target: Some(args.target.clone()), ..facts("restore") },
            Command::Scrub(_) => facts("scrub"),
            Command::Rm(args) if !args.dry_run => facts("rm"),
            Command::Prune(args) if !args.dry_run => match &args.names[..] {
                [name] => Facts { name: Some(name.clone()), ..facts("prune") },
                _ => facts("prune"),
            },
            Command::Cleanup(args) if !args.dry_run => facts("cleanup"),
            Command::Check(_) => facts("check"),
            Command::Run(args) if !args.dry_run => facts("run"),
            _ => Facts::default(),
        }
    }

    /// Notes the version that the command works with.
    pub(crate) fn take(&mut self, version: &Version) {
        self.name = Some(version.name.clone());
        self.version = Some(version.uid.to_string());
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// When it began.
    pub began: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Its exit code.
    pub code: u8,
    /// Its last message about an error.
    pub error: Option<String>,
}

impl Ended {
    /// Whether nothing went wrong.
    pub(crate) fn is_good(&self) -> bool {
        self.code == exit::DONE
    }

    /// The result in a word, as the commands of jobs get it.
    pub(crate) fn result(&self) -> &'static str {
        match self.code {
            exit::DONE => "done",
            code if exit::is_interrupt(code) => "interrupted",
            _ => "failed",
        }
    }
}

/// The moment when a command begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start(Timestamp, Instant);

impl Start {
    /// This moment.
    pub(crate) fn now() -> Self {
        Start(Timestamp::now(), Instant::now())
    }

    /// A command that began then ends now.
    pub(crate) fn end(self, code: u8, error: Option<String>) -> Ended {
        Ended { began: self.0, duration: self.1.elapsed(), code, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::grammar;
    use std::ffi::OsString;

    fn facts(words: &[&str]) -> Facts {
        let words: Vec<OsString> = std::iter::once(&"backy2").chain(words).map(OsString::from).collect();
        let command = grammar::parse(words).expect("parsed").command.expect("a command");
        Facts::of(&command)
    }

    #[test]
    fn only_commands_that_work_have_facts() {
        for words in [
            &["ls"][..],
            &["status"],
            &["rm", "--dry-run", "x"],
            &["run", "--dry-run"],
            &["cleanup", "--dry-run"],
        ] {
            assert_eq!(facts(words).command, None, "{words:?}");
        }
        let backup = facts(&["backup", "/dev/sda", "vm"]);
        assert_eq!((backup.command, backup.name.as_deref()), (Some("backup"), Some("vm")));
        assert_eq!(backup.source.as_deref(), Some("/dev/sda"));
        assert_eq!(facts(&["restore", "vm", "/tmp/x"]).target.as_deref(), Some("/tmp/x"));
        assert_eq!(facts(&["prune", "a", "b"]).name, None);
        assert_eq!(facts(&["prune", "a"]).name.as_deref(), Some("a"));
        for command in ["run", "check", "cleanup"] {
            assert_eq!(facts(&[command]).command, Some(command));
        }
    }

    #[test]
    fn results_have_words() {
        let word = |code| Start::now().end(code, None).result();
        assert_eq!(
            [0, 1, 20, 100, 129, 143].map(word),
            ["done", "failed", "failed", "failed", "interrupted", "interrupted"]
        );
    }
}

//! Exit codes of the errors.

use super::args::CommandKind;
use super::remedy;
use crate::types::error::{Error, Signal};
use crate::types::text::{line, without_numbers};

/// Success.
pub(crate) const DONE: u8 = 0;
/// No command was given, the configuration or the database cannot be used, or a target was refused.
pub(crate) const CANNOT_BEGIN: u8 = 1;
/// Scrub has found errors, or some of the restored data is bad.
pub(crate) const BAD_DATA: u8 = 20;
/// The state of a monitored service is not known.
const UNKNOWN: u8 = 3;
/// Any error without an exit code of its own.
pub(crate) const FAILED: u8 = 100;
/// The last line of a command that ends with [`FAILED`], as 2.13 writes it.
pub(crate) const CLOSING: &str = "Backy failed.";

/// The result of a command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Success.
    Done,
    /// The command has reported bad data.
    Errors,
    /// The command has reported that something failed, the last line included.
    Failed,
    /// The command has reported a state to a monitoring system.
    Monitored(State),
}

/// The state of a monitored service, with the exit codes and words of monitoring plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// All is well.
    Ok,
    /// Something is wrong, but backups are made.
    Warning,
    /// Backups are missing.
    Critical,
    /// The state cannot be found out.
    Unknown,
}

impl State {
    /// The word with which the line of a plugin begins.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Ok => "OK",
            State::Warning => "WARNING",
            State::Critical => "CRITICAL",
            State::Unknown => "UNKNOWN",
        }
    }
}

impl Outcome {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Outcome::Done => DONE,
            Outcome::Errors => BAD_DATA,
            Outcome::Failed => FAILED,
            Outcome::Monitored(State::Ok) => DONE,
            Outcome::Monitored(State::Warning) => 1,
            Outcome::Monitored(State::Critical) => 2,
            Outcome::Monitored(State::Unknown) => UNKNOWN,
        }
    }
}

/// The exit code of `error` in a command of kind `command`.
pub(crate) fn code(error: &Error, command: CommandKind) -> u8 {
    match error {
        Error::Interrupted(signal) => 128 + signal.number(),
        _ if command == CommandKind::Monitoring => UNKNOWN,
        Error::Config(_) | Error::Database(_) | Error::NoSuchImage { .. } | Error::TargetRefused(_) => {
            CANNOT_BEGIN
        }
        Error::BaseMismatch { .. } | Error::ContinueMismatch { .. } => 5,
        Error::WrongStore { .. } => 6,
        Error::Store { .. } if matches!(command, CommandKind::Backup | CommandKind::Restore) => 6,
        Error::WrongKey(_) if command == CommandKind::Restore => 6,
        Error::VersionExists(_) => 22,
        Error::DumpFormat(_) => 23,
        Error::Store { .. }
        | Error::WrongKey(_)
        | Error::Metadata { .. }
        | Error::Full { .. }
        | Error::VersionNotFound(_)
        | Error::Locked(_)
        | Error::Similar(_)
        | Error::Refused(_)
        | Error::Hints(_)
        | Error::Source { .. }
        | Error::Target { .. }
        | Error::LockDir { .. }
        | Error::Resources(_)
        | Error::Internal(_) => FAILED,
    }
}

/// Whether a command ends with `code` if a signal has ended it.
pub(crate) fn is_interrupt(code: u8) -> bool {
    Signal::from_number(usize::from(code.saturating_sub(128))).is_some()
}

/// The exit code of a command that has panicked.
pub(crate) fn code_of_panic(command: CommandKind) -> u8 {
    if command == CommandKind::Monitoring { UNKNOWN } else { FAILED }
}

/// The text on stdout after an error: a document in JSON, or a line for a monitoring system. Empty for other commands.
pub(crate) fn answer(text: &str, code: u8, command: CommandKind, wants_json: bool) -> String {
    match (wants_json, command) {
        (true, _) => format!("{}\n", json(text, code)),
        (false, CommandKind::Monitoring) => format!("{}: {}\n", State::Unknown.word(), one_line(text)),
        _ => String::new(),
    }
}

/// The text on one line, without the sign that begins performance data in the output of monitoring plugins.
pub(crate) fn one_line(text: &str) -> String {
    line(text).replace('|', "\\u{7c}")
}

/// An error as JSON.
pub(crate) fn json(text: &str, code: u8) -> serde_json::Value {
    serde_json::json!({"error": without_numbers(text), "exit_code": code})
}

/// The log lines for `error`: one line with its causes, or with `causes` one line without them and a line for each
/// cause.
pub(crate) fn describe(error: &Error, causes: bool) -> Vec<String> {
    let text = match error {
        Error::Interrupted(signal) => format!("Interrupted by {}.", signal.name()),
        other if causes => other.summary(),
        other => other.line(),
    };
    let text = remedy::advised(&text, error.remedies());
    let mut lines: Vec<String> = match error {
        Error::TargetRefused(_) | Error::Similar(_) => text.split('\n').map(str::to_owned).collect(),
        // In other texts a line break comes from a name or another program, and is escaped later.
        _ => vec![text],
    };
    if causes {
        lines.extend(error.causes().into_iter().map(|cause| format!("  caused by: {cause}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::reason::{Reason, because};

    fn text() -> String {
        "x".to_owned()
    }

    fn why() -> Reason {
        "x".into()
    }

    #[test]
    fn every_kind_of_error_has_its_code() {
        let store = || Error::Store { store: text(), reason: why() };
        for (error, codes) in [
            (Error::config(text()), [1, 1, 1]),
            (Error::database(text()), [1, 1, 1]),
            (Error::Metadata { database: text(), reason: why() }, [100, 100, 100]),
            (Error::Full { database: text(), reason: why() }, [100, 100, 100]),
            (Error::VersionNotFound(text()), [100, 100, 100]),
            (Error::Locked(text()), [100, 100, 100]),
            (Error::Similar(text()), [100, 100, 100]),
            (Error::refused(text()), [100, 100, 100]),
            (Error::hints(text()), [100, 100, 100]),
            (Error::BaseMismatch { base: text().into(), block: 1, offset: 1 }, [5, 5, 5]),
            (Error::ContinueMismatch { version: text().into(), block: 1, offset: 1 }, [5, 5, 5]),
            (Error::Source { url: text(), reason: why() }, [100, 100, 100]),
            (Error::NoSuchImage { url: text(), message: text() }, [1, 1, 1]),
            (Error::TargetRefused(why()), [1, 1, 1]),
            (Error::Target { url: text(), reason: why() }, [100, 100, 100]),
            (store(), [6, 6, 100]),
            (Error::WrongStore { store: text(), reason: why() }, [6, 6, 6]),
            (Error::WrongKey(text()), [100, 6, 100]),
            (Error::LockDir { path: "x".into(), reason: why() }, [100, 100, 100]),
            (Error::Interrupted(Signal::Hangup), [129, 129, 129]),
            (Error::Interrupted(Signal::Interrupt), [130, 130, 130]),
            (Error::Interrupted(Signal::Terminate), [143, 143, 143]),
            (Error::VersionExists(text()), [22, 22, 22]),
            (Error::DumpFormat(text()), [23, 23, 23]),
            (Error::resources(text()), [100, 100, 100]),
            (Error::internal(text()), [100, 100, 100]),
        ] {
            for (kind, expected) in
                [CommandKind::Backup, CommandKind::Restore, CommandKind::Other].into_iter().zip(codes)
            {
                assert_eq!(code(&error, kind), expected, "{error:?} in {kind:?}");
            }
            let of_plugin = code(&error, CommandKind::Monitoring);
            assert_eq!(of_plugin, if codes[0] > 128 { codes[0] } else { 3 }, "{error:?}");
        }
    }

    #[test]
    fn outcomes_have_codes() {
        assert_eq!((Outcome::Done.code(), Outcome::Errors.code()), (0, 20));
        let states = [State::Ok, State::Warning, State::Critical, State::Unknown];
        assert_eq!(states.map(|state| Outcome::Monitored(state).code()), [0, 1, 2, 3]);
    }

    #[test]
    fn a_monitoring_system_learns_of_every_error_that_the_state_is_unknown() {
        let kind = CommandKind::Monitoring;
        for error in [Error::config("x"), Error::database("x"), Error::refused("x"), Error::internal("x")] {
            assert_eq!(code(&error, kind), 3, "{error:?}");
        }
        assert_eq!(code(&Error::Interrupted(Signal::Terminate), kind), 143);
        assert_eq!((code_of_panic(kind), code_of_panic(CommandKind::Other)), (3, 100));
        assert_eq!(answer("a|b\nc", 3, kind, false), "UNKNOWN: a\\u{7c}b\\nc\n");
        assert_eq!(answer("a", 3, kind, true), "{\"error\":\"a\",\"exit_code\":3}\n");
        assert_eq!(answer("a", 100, CommandKind::Other, false), "");
    }

    #[test]
    fn errors_are_described() {
        let gone = std::io::Error::from_raw_os_error(2);
        let reason = because("cannot be reached", gone).advise("Is it mounted?");
        let error = Error::Store { store: "/data".to_owned(), reason };
        let line = "data store /data: cannot be reached: No such file or directory. Is it mounted?";
        assert_eq!(describe(&error, false), [line]);
        let below = "  caused by: No such file or directory";
        assert_eq!(describe(&error, true), ["data store /data: cannot be reached. Is it mounted?", below]);
        assert_eq!(describe(&Error::Interrupted(Signal::Interrupt), false), ["Interrupted by SIGINT."]);
        assert_eq!(describe(&Error::TargetRefused("a\nb".into()), false), ["a", "b"]);
        assert_eq!(describe(&Error::refused("a\nb"), false), ["a\nb"], "no line of ours");
    }
}

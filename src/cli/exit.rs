//! Exit codes of the errors.

use super::args::Kind;
use crate::types::error::Error;
use crate::types::text::without_numbers;

/// Success.
pub const DONE: u8 = 0;
/// No command was given, the configuration or the database cannot be used, or a target was refused.
pub const CANNOT_BEGIN: u8 = 1;
/// Scrub has found errors, or some of the restored data is bad.
pub const BAD_DATA: u8 = 20;
/// Any error without an exit code of its own.
pub const FAILED: u8 = 100;

/// The result of a command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Success.
    Done,
    /// The command has reported bad data.
    Errors,
}

impl Outcome {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Outcome::Done => DONE,
            Outcome::Errors => BAD_DATA,
        }
    }
}

/// The exit code of `error` in a command of kind `command`.
pub fn code(error: &Error, command: Kind) -> u8 {
    match error {
        Error::Config(_) | Error::Database(_) | Error::NoSuchImage { .. } | Error::TargetRefused(_) => {
            CANNOT_BEGIN
        }
        Error::BaseMismatch { .. } | Error::ContinueMismatch { .. } => 5,
        Error::Store { .. } if command != Kind::Other => 6,
        Error::WrongKey(_) if command == Kind::Restore => 6,
        Error::Interrupted(signal) => 128 + signal.number(),
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

/// An error as JSON.
pub fn json(text: &str, code: u8) -> serde_json::Value {
    serde_json::json!({"error": without_numbers(text), "exit_code": code})
}

/// The log lines for `error`. With `causes`, a line for each cause follows.
pub fn describe(error: &Error, causes: bool) -> Vec<String> {
    let mut lines = match error {
        Error::Interrupted(signal) => vec![format!("Interrupted by {}.", signal.name())],
        // In other texts a line break comes from a name or another program, and is escaped later.
        Error::TargetRefused(text) | Error::Similar(text) => text.split('\n').map(str::to_owned).collect(),
        other => vec![other.to_string()],
    };
    if causes {
        lines.extend(chain(error));
    }
    lines
}

/// One line for each cause of `error`.
fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(|cause| format!("  caused by: {cause}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::error::Signal;

    fn text() -> String {
        "x".to_owned()
    }

    #[test]
    fn every_kind_of_error_has_its_code() {
        let store = || Error::Store { store: text(), message: text() };
        for (error, codes) in [
            (Error::Config(text()), [1, 1, 1]),
            (Error::Database(text()), [1, 1, 1]),
            (Error::Metadata { database: text(), message: text() }, [100, 100, 100]),
            (Error::Full { database: text(), message: text() }, [100, 100, 100]),
            (Error::VersionNotFound(text()), [100, 100, 100]),
            (Error::Locked(text()), [100, 100, 100]),
            (Error::Similar(text()), [100, 100, 100]),
            (Error::Refused(text()), [100, 100, 100]),
            (Error::Hints(text()), [100, 100, 100]),
            (Error::BaseMismatch { base: text().into(), block: 1, offset: 1 }, [5, 5, 5]),
            (Error::ContinueMismatch { version: text().into(), block: 1, offset: 1 }, [5, 5, 5]),
            (Error::Source { url: text(), message: text() }, [100, 100, 100]),
            (Error::NoSuchImage { url: text(), message: text() }, [1, 1, 1]),
            (Error::TargetRefused(text()), [1, 1, 1]),
            (Error::Target { url: text(), message: text() }, [100, 100, 100]),
            (store(), [6, 6, 100]),
            (Error::WrongKey(text()), [100, 6, 100]),
            (Error::LockDir { path: "x".into(), message: text() }, [100, 100, 100]),
            (Error::Interrupted(Signal::Hangup), [129, 129, 129]),
            (Error::Interrupted(Signal::Interrupt), [130, 130, 130]),
            (Error::Interrupted(Signal::Terminate), [143, 143, 143]),
            (Error::VersionExists(text()), [22, 22, 22]),
            (Error::DumpFormat(text()), [23, 23, 23]),
            (Error::Resources(text()), [100, 100, 100]),
            (Error::Internal(text()), [100, 100, 100]),
        ] {
            for (kind, expected) in [Kind::Backup, Kind::Restore, Kind::Other].into_iter().zip(codes) {
                assert_eq!(code(&error, kind), expected, "{error:?} in {kind:?}");
            }
        }
    }

    #[test]
    fn outcomes_have_codes() {
        assert_eq!((Outcome::Done.code(), Outcome::Errors.code()), (0, 20));
    }

    #[test]
    fn errors_are_described() {
        let error = Error::Store { store: "/data".to_owned(), message: "gone".to_owned() };
        assert_eq!(describe(&error, false), ["data store /data: gone"]);
        assert_eq!(describe(&error, true), ["data store /data: gone"]);
        assert_eq!(describe(&Error::Interrupted(Signal::Interrupt), false), ["Interrupted by SIGINT."]);
        assert_eq!(describe(&Error::TargetRefused("a\nb".to_owned()), false), ["a", "b"]);
        assert_eq!(describe(&Error::Refused("a\nb".to_owned()), false), ["a\nb"], "no line of ours");
    }

    #[test]
    fn causes_stand_below_each_other() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::num::ParseIntError);
        let inner = "x".parse::<u8>().expect_err("no number");
        assert_eq!(chain(&Outer(inner.clone())), [format!("  caused by: {inner}")]);
        assert!(chain(&inner).is_empty());
    }
}

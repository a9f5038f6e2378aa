//! Classifies failures of PostgreSQL.

use super::guard::Refusal;
use crate::types::reason::{self, Reason, because, one_line};
use postgres::Error;
use postgres::error::SqlState;
use std::error::Error as _;
use std::fmt;
use std::io;

/// An error of the driver in words for people: the server's message with its detail, or the reason why there is no
/// connection.
#[derive(Debug)]
struct Described(Error);

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(&self.0))
    }
}

impl std::error::Error for Described {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        further_cause(&self.0)
    }
}

/// The failure in one line, with its causes.
pub(crate) fn describe(error: &Error) -> String {
    let text = text(error);
    one_line(&text, &reason::causes(&text, further_cause(error)), "")
}

/// The cause, unless the text says all that there is to say.
fn further_cause(error: &Error) -> Option<&(dyn std::error::Error + 'static)> {
    if is_complete(error) { None } else { error.source() }
}

fn text(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        let detail = db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail}", db.message()).replace('\n', " ");
    }
    refusal(error).map_or_else(|| error.to_string(), |refusal| refusal.0.clone())
}

/// Whether the server's message, or our own refusal, says all that there is to say.
fn is_complete(error: &Error) -> bool {
    error.as_db_error().is_some() || refusal(error).is_some()
}

/// The failure as a reason, with advice.
pub(crate) fn reason(error: Error) -> Reason {
    let advice = if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) {
        "Each command needs up to three connections at a time: see docs/postgresql.md"
    } else {
        ""
    };
    because("", Described(error)).advise(advice)
}

/// Whether the connection is lost, or the server accepts none now. A new connection may succeed later.
pub(crate) fn is_lost(error: &Error) -> bool {
    match error.code() {
        // 08: connection exceptions. 57P: shut down, crashed, starting up.
        Some(code) => {
            code.code().starts_with("08")
                || [
                    SqlState::ADMIN_SHUTDOWN,
                    SqlState::CRASH_SHUTDOWN,
                    SqlState::CANNOT_CONNECT_NOW,
                    SqlState::TOO_MANY_CONNECTIONS,
                ]
                .contains(code)
        }
        None => error.is_closed() || has_io_cause(error),
    }
}

/// The refusal by our own checks, if it is among the causes.
fn refusal(error: &Error) -> Option<&Refusal> {
    causes(error).find_map(|cause| {
        let inner = || cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref();
        cause.downcast_ref().or_else(inner)
    })
}

fn has_io_cause(error: &Error) -> bool {
    let io = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
    // TLS errors about a certificate stay the same however long one waits.
    io.is_some_and(|io| !matches!(io.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

/// The errors that caused `error`, the nearest first.
fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// Whether the same transaction may succeed if it is run again at once, as other transactions were in its way.
pub(crate) fn may_pass(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::FOREIGN_KEY_VIOLATION,
        ]
        .contains(code)
    })
}

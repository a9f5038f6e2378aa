//! Classifies failures of PostgreSQL.

use super::guard::Refusal;
use postgres::Error;
use postgres::error::SqlState;
use std::error::Error as _;

/// The failure in one line: the server's message with its detail, or the reason why there is no connection.
pub fn describe(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        let detail = db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        let advice = if *db.code() == SqlState::TOO_MANY_CONNECTIONS {
            ". Each command needs up to three connections at a time: see docs/postgresql.md"
        } else {
            ""
        };
        return format!("{}{detail}{advice}", db.message()).replace('\n', " ");
    }
    if let Some(refusal) = refusal(error) {
        return refusal.0.clone();
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Whether the connection is lost, or the server accepts none now. A new connection may succeed later.
pub fn is_lost(error: &Error) -> bool {
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
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refusal) = cause.downcast_ref() {
            return Some(refusal);
        }
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(refusal) = inner.and_then(|inner| inner.downcast_ref()) {
            return Some(refusal);
        }
        source = cause.source();
    }
    None
}

fn has_io_cause(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            // TLS errors about a certificate stay the same however long one waits.
            return !matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput);
        }
        source = cause.source();
    }
    false
}

/// Whether the same transaction may succeed if it is run again at once, as other transactions were in its way.
pub fn may_pass(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::FOREIGN_KEY_VIOLATION,
        ]
        .contains(code)
    })
}

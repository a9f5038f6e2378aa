//! Why a request to a bucket failed, whether repeating it may help, and which setting to check.

use super::xml;
use crate::config::Names;
use crate::types::error::Signal;
use crate::types::reason::{Reason, because};
use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

/// Whether repeating a failed request makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The network failed, or the server violated the protocol. This may be temporary.
    Network,
    /// The server reports a temporary problem: overload, or an internal error.
    Busy,
    /// There is no object of that name.
    Missing,
    /// The server does not support this request.
    Unknown,
    /// Repeating the request does not help.
    Lasting,
    /// The user does not want to wait.
    Interrupted(Signal),
}

/// A request that failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// Whether to repeat it.
    pub kind: FailureKind,
    /// The error, and the setting to check.
    pub reason: Reason,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
}

impl Failure {
    /// A failure without an answer.
    pub(super) fn new(kind: FailureKind, reason: impl Into<Reason>) -> Self {
        Failure { kind, reason: reason.into(), status: None }
    }

    /// A failure from an answer without success.
    pub(super) fn of_answer(status: u16, body: &str, names: Names) -> Self {
        let code = xml::text(body, "Code").unwrap_or_default();
        let message = xml::text(body, "Message").unwrap_or_default();
        let text = match (code.is_empty(), message.is_empty()) {
            (true, _) => format!("the server answers {status}, and not as S3 does"),
            (false, true) => format!("the server answers {status} {code}"),
            (false, false) => format!("the server answers {status} {code}: {message}"),
        };
        // Some servers report it only in the message.
        let code = if tells_of_clocks(&message) { SKEWED.to_owned() } else { code };
        let kind = kind(status, &code);
        let advice = match kind {
            FailureKind::Lasting | FailureKind::Missing => advice(status, &code, names),
            _ => String::new(),
        };
        Failure { kind, reason: Reason::from(one_line(&text)).advise(advice), status: Some(status) }
    }

    /// Adds advice if the server's clock (`theirs`) differs from this machine's (`ours`). This may be the cause of a
    /// refusal even if its text does not say so.
    pub(super) fn at(mut self, theirs: Option<SystemTime>, ours: SystemTime) -> Self {
        let Some(theirs) = theirs.filter(|_| matches!(self.status, Some(400..=403))) else { return self };
        let (apart, way) = match ours.duration_since(theirs) {
            Ok(apart) => (apart, "ahead of"),
            Err(e) => (e.duration(), "behind"),
        };
        if apart >= MOST_APART {
            let minutes = apart.as_secs() / 60;
            self.reason = self
                .reason
                .advise(format!("The clock of this machine is {minutes} minutes {way} the server's: set it"));
        }
        self
    }

    /// A failure of one object, in an answer that is a success as a whole.
    pub(super) fn of_object(code: &str, message: &str, names: Names) -> Self {
        let kind = match code {
            // A few servers put their status here.
            "AccessDenied" => FailureKind::Lasting,
            code => kind(code.parse().unwrap_or(200), code),
        };
        let advice = if kind == FailureKind::Lasting { advice(200, code, names) } else { String::new() };
        let reason = Reason::from(one_line(&format!("{code}: {message}"))).advise(advice);
        Failure { kind, reason, status: Some(200) }
    }

    /// A failure of sending or receiving.
    pub(super) fn of_transport(error: ureq::Error, names: Names) -> Self {
        use ureq::Error as E;
        let Names { endpoint, tls } = names;
        let see = format!("See {endpoint} in [DataBackend]");
        match error {
            E::Timeout(_) => Failure::new(FailureKind::Network, because("no answer in time", error)),
            E::HostNotFound => {
                Failure::new(FailureKind::Network, Reason::from("the host is unknown").advise(see))
            }
            // TLS reports its errors as invalid data.
            E::Io(io) if io.kind() == ErrorKind::InvalidData => Self::of_tls(io.into(), names),
            E::Io(io) => match io.kind() {
                ErrorKind::TimedOut
                | ErrorKind::WouldBlock
                | ErrorKind::Interrupted
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::NotConnected
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof => Failure::new(FailureKind::Network, io),
                // No connection was made: it was refused, there is no route, or the name is unknown.
                _ => Failure::new(FailureKind::Network, Reason::from(io).advise(see)),
            },
            E::Rustls(_) | E::Tls(_) | E::Pem(_) => Self::of_tls(error.into(), names),
            E::Protocol(_) | E::ConnectionFailed | E::BodyStalled | E::LargeResponseHeader(..) => {
                let advice = format!("See {endpoint} and {tls} in [DataBackend]");
                Failure::new(
                    FailureKind::Network,
                    because("this is not the answer of a web server", error).advise(advice),
                )
            }
            other => Failure::new(FailureKind::Lasting, because("", other).advise(see)),
        }
    }

    fn of_tls(error: Box<dyn std::error::Error + Send + Sync>, Names { endpoint, tls }: Names) -> Self {
        let advice = if error.to_string().to_lowercase().contains("certificate") {
            "The server's certificate must be one that this system trusts; add its authority to the \
                 system's, or name a file with it in the environment variable SSL_CERT_FILE"
                .to_owned()
        } else {
            format!("Does the server speak https? See {endpoint} and {tls} in [DataBackend]")
        };
        Failure::new(FailureKind::Lasting, because("TLS failed", error).advise(advice))
    }
}

/// The error code for a request whose time differs too much from the server's.
const SKEWED: &str = "RequestTimeTooSkewed";
/// Servers may refuse requests if the clocks differ by more. S3 itself accepts a quarter of an hour.
const MOST_APART: Duration = Duration::from_secs(300);

/// Whether a message of some server says that the clocks differ.
fn tells_of_clocks(message: &str) -> bool {
    let message = message.to_lowercase();
    let words = [
        "requesttimetooskewed",
        "time too skewed",
        "difference between the request time",
        "clock skew",
        "signature expired",
        "signature not yet current",
    ];
    words.iter().any(|words| message.contains(words))
}

/// Joins a message to one short line. Servers may send whole pages.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let line = line.trim_end_matches('.');
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn kind(status: u16, code: &str) -> FailureKind {
    match (status, code) {
        (404, "NoSuchKey") | (_, "NoSuchKey") => FailureKind::Missing,
        (405 | 501, _) | (_, "NotImplemented" | "MethodNotAllowed") => FailureKind::Unknown,
        (408 | 429 | 500 | 502 | 503 | 504, _) => FailureKind::Busy,
        // These codes come with various statuses. A wrong digest means that the body was damaged on the way.
        (
            _,
            "RequestTimeout"
            | "SlowDown"
            | "InternalError"
            | "ServiceUnavailable"
            | "OperationAborted"
            | "BadDigest"
            | "XAmzContentSHA256Mismatch"
            | "IncompleteBody"
            | "TooManyRequests",
        ) => FailureKind::Busy,
        _ => FailureKind::Lasting,
    }
}

/// A sentence about the setting to check, or nothing.
fn advice(status: u16, code: &str, Names { endpoint, tls }: Names) -> String {
    match (status, code) {
        (_, "NoSuchBucket") => "See bucket_name in [DataBackend]: the bucket must exist".to_owned(),
        (_, "InvalidAccessKeyId" | "InvalidToken" | "ExpiredToken") => {
            "See aws_access_key_id in [DataBackend], or the environment variables".to_owned()
        }
        (_, "SignatureDoesNotMatch") => {
            "See aws_secret_access_key in [DataBackend], or the environment variable".to_owned()
        }
        (_, SKEWED | "RequestExpired") => "See the clock of this machine".to_owned(),
        (_, "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError" | "PermanentRedirect")
        | (300..400, _) => format!("See region_name and {endpoint} in [DataBackend]"),
        (_, "") => format!("See {endpoint} and {tls} in [DataBackend]: is this a server of S3?"),
        (403, _) | (_, "AccessDenied") => {
            "See the credentials in [DataBackend], and their permissions for the bucket".to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;

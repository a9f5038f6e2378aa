//! Sends one signed request to a bucket and evaluates the answer.

use super::bucket::Bucket;
use super::failure::{Failure, FailureKind};
use super::pace::{Pace, longest};
use super::sign::{self, Signer, Unsigned};
use super::waiter::{Lookup, Waiter};
use super::wire::Dialer;
use crate::config::{Credential, Names, S3Config};
use crate::monitor::Handle;
use crate::sys::trust::{self, Accept, Doubt};
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::settings::Secret;
use chrono::Utc;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector};
use ureq::{Agent, AsSendBody, Body};

/// The most bytes of an answer that is not a blob. A page of a listing has half a megabyte.
pub(super) const MOST_TEXT: u64 = 16 << 20;
/// Bytes of an answer to read at once.
const PIECE: usize = 32 << 10;
/// How long an unused connection is kept. Routers drop connections that are idle for minutes.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// A request to the server.
pub(super) struct Request<'r> {
    method: &'static str,
    key: &'r str,
    query: String,
    headers: Vec<(&'static str, &'r str)>,
    /// The body, and its digest in the next field.
    body: &'r [u8],
    digest: String,
    /// The most bytes to read of the answer.
    most: u64,
}

impl<'r> Request<'r> {
    /// A request about the object `key`, or about the bucket (`""`). The answer is a text.
    pub(super) fn new(method: &'static str, key: &'r str, parameters: &[(&str, &str)]) -> Self {
        let (query, digest) = (sign::query(parameters), sign::digest(&[]));
        Request { method, key, query, headers: Vec::new(), body: &[], digest, most: MOST_TEXT }
    }

    /// Adds a body, and headers about it.
    pub(super) fn with_body(mut self, body: &'r [u8], headers: &[(&'static str, &'r str)]) -> Self {
        self.digest = sign::digest(body);
        self.body = body;
        self.headers = headers.to_vec();
        self
    }

    /// Expects a blob of at most `most` bytes as the answer.
    pub(super) fn expecting(mut self, most: u64) -> Self {
        self.most = most;
        self
    }
}

/// Signs and sends requests. Threads share it, and it keeps connections for reuse.
pub(super) struct Client {
    agent: Agent,
    bucket: Bucket,
    signer: Signer,
    names: Names,
}

impl Client {
    /// Reads the credentials. Keeps up to `connections` unused connections open. A signal that `monitor` reports ends
    /// every wait.
    pub(super) fn new(config: &S3Config, connections: usize, monitor: Handle) -> Result<Self> {
        let bucket =
            Bucket::new(config.endpoint.clone(), config.addressing, &config.bucket).ok_or_else(|| {
                Error::config(format!(
                    "[DataBackend] bucket_name and {}: together they do not give a valid address; try \
                     addressing_style: path.",
                    config.names.endpoint
                ))
            })?;
        let signer = Signer {
            key: credential(&config.access_key_id, "aws_access_key_id", "AWS_ACCESS_KEY_ID")?,
            secret: credential(&config.secret_access_key, "aws_secret_access_key", "AWS_SECRET_ACCESS_KEY")?,
            token: config.session_token.clone(),
            region: config.region.clone(),
        };
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let settings = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // No redirects, because the signature is valid for one address only.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .max_idle_age(MAX_IDLE)
            .user_agent(concat!("backy2/", env!("CARGO_PKG_VERSION")))
            .build();
        let waiter = Waiter::new(monitor);
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(Dialer(waiter.clone()))
                .chain(RustlsConnector::default());
        let agent = Agent::with_parts(settings, connector, Lookup(waiter));
        Ok(Client { agent, bucket, signer, names: config.names })
    }

    /// The address of the bucket, for messages.
    pub(super) fn location(&self) -> &str {
        self.bucket.location()
    }

    /// The names of the settings.
    pub(super) fn names(&self) -> Names {
        self.names
    }

    /// Signs and sends a request. The connection may be silent for `limit`, and the whole request may take as long as
    /// its bytes need at the lowest allowed rate. An answer without success is a failure.
    pub(super) fn send(
        &self,
        request: &Request<'_>,
        limit: Duration,
    ) -> std::result::Result<Response<Body>, Failure> {
        match request.method {
            "PUT" | "POST" => self.send_with(request, request.body, limit),
            _ => self.send_with(request, (), limit),
        }
    }

    fn send_with(
        &self,
        request: &Request<'_>,
        body: impl AsSendBody,
        limit: Duration,
    ) -> std::result::Result<Response<Body>, Failure> {
        let (host, path) = (self.bucket.host(), self.bucket.path(request.key));
        let unsigned = Unsigned {
            method: request.method,
            host: &host,
            path: &path,
            query: &request.query,
            headers: &request.headers,
            digest: &request.digest,
        };
        let mark = if request.query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{mark}{}", self.bucket.origin(), request.query);
        let mut built = ureq::http::Request::builder().method(request.method).uri(url);
        for (name, value) in &request.headers {
            built = built.header(*name, *value);
        }
        for (name, value) in self.signer.sign(&unsigned, Utc::now()) {
            built = built.header(name, value);
        }
        let built = built.body(body).map_err(|error| {
            Failure::new(FailureKind::Lasting, because("the request cannot be made", error))
        })?;
        let built = self
            .agent
            .configure_request(built)
            .timeout_resolve(Some(limit))
            .timeout_connect(Some(limit))
            .timeout_send_request(Some(limit))
            .timeout_send_body(Some(longest(limit, request.body.len() as u64)))
            .timeout_recv_response(Some(limit))
            .timeout_recv_body(Some(longest(limit, request.most)))
            .timeout_per_read(Some(limit))
            .timeout_per_write(Some(limit))
            .build();
        let mut response = self.agent.run(built).map_err(|error| Failure::of_transport(error, self.names))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => {
                let clock = clock_of(&response);
                // The status is enough if the text cannot be read.
                let text = self.text(&mut response, limit).unwrap_or_default();
                Err(Failure::of_answer(status.as_u16(), &text, self.names).at(clock, SystemTime::now()))
            }
        }
    }

    /// Reads the text of an answer.
    pub(super) fn text(
        &self,
        response: &mut Response<Body>,
        limit: Duration,
    ) -> std::result::Result<String, Failure> {
        let mut bytes = Vec::new();
        self.read(response, MOST_TEXT, &mut bytes, limit)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads at most `most` bytes of the body into `data` (cleared first). The transfer must make progress in each
    /// period of `limit`.
    pub(super) fn read(
        &self,
        response: &mut Response<Body>,
        most: u64,
        data: &mut Vec<u8>,
        limit: Duration,
    ) -> std::result::Result<(), Failure> {
        data.clear();
        let length = response.body().content_length();
        // One byte more, so that reading the end does not enlarge the buffer.
        data.reserve(length.unwrap_or_default().min(most) as usize + 1);
        let mut reader = response.body_mut().as_reader().take(most);
        let mut pace = Pace::new(limit);
        let mut piece = [0; PIECE];
        loop {
            // Takes the bytes that have arrived instead of filling the piece, so that a slow sender is noticed.
            let read = reader.read(&mut piece);
            match read.map_err(|error| Failure::of_transport(error.into(), self.names))? {
                0 => break,
                read => {
                    pace.moved(read);
                    data.extend_from_slice(&piece[..read]);
                }
            }
            pace.left().ok_or_else(|| Failure::new(FailureKind::Network, "the answer comes too slowly"))?;
        }
        match length {
            Some(length) if (data.len() as u64) < length.min(most) => {
                Err(Failure::new(FailureKind::Network, "the answer ended early"))
            }
            _ => Ok(()),
        }
    }
}

/// The server's time when it sent the answer.
pub(super) fn clock_of(response: &Response<Body>) -> Option<SystemTime> {
    let date = response.headers().get("date")?.to_str().ok()?;
    chrono::DateTime::parse_from_rfc2822(date).ok().map(SystemTime::from)
}

fn credential(from: &Credential, key: &str, variable: &str) -> Result<Secret> {
    match from {
        Credential::Given(secret) => Ok(secret.clone()),
        Credential::File(path) => from_file(path, key).map(Secret::new),
        Credential::Unset => Err(Error::config(format!(
            "[DataBackend] {key} is missing. Set it, or {key}_file, or the environment variable {variable}."
        ))),
    }
}

/// The most bytes to read of a key file.
const LONGEST_KEY: u64 = 1 << 16;

fn from_file(path: &Path, key: &str) -> Result<String> {
    let error =
        |problem: &str| Error::config(format!("[DataBackend] {key}_file: {} {problem}.", path.display()));
    let unreadable = |e: std::io::Error| {
        Error::config(because(format!("[DataBackend] {key}_file: {} cannot be read", path.display()), e))
    };
    let opened = trust::open(path, Accept::Any).map_err(unreadable)?;
    if let Some(doubt) = opened.doubts.iter().find(|doubt| matches!(doubt, Doubt::Writable(_))) {
        return Err(error(&format!("{doubt}: `chmod 600` it")));
    }
    let mut text = String::new();
    opened.file.take(LONGEST_KEY).read_to_string(&mut text).map_err(unreadable)?;
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_whitespace) {
        Err(error("must contain only the key, on one line"))
    } else {
        Ok(text.to_owned())
    }
}

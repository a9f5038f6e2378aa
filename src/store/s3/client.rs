//! One request to a bucket: signed, sent, and its answer judged.

use super::failure::{Failure, Kind};
use crate::config::{Addressing, Credential, Names, S3Config};
use crate::sys::trust::{self, Doubt};
use crate::types::error::{Error, Result};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use ureq::http::{Request, Response};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body};

/// For so long the signature of a request holds. It also bounds the difference of clocks in one direction.
const EXPIRES: Duration = Duration::from_secs(15 * 60);
/// Bytes of an answer that is no blob: a page of a listing has half a megabyte.
const MOST_TEXT: u64 = 16 << 20;
/// Connections whose other end is far away are closed by routers when they are idle for minutes.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// Signs and sends. Shared by threads; connections are kept and used again.
pub(super) struct Client {
    agent: Agent,
    bucket: Bucket,
    credentials: Credentials,
    names: Names,
}

impl Client {
    /// Reads the credentials. `connections` are kept open when nobody needs them.
    pub fn new(config: &S3Config, connections: usize) -> Result<Self> {
        let style = match config.addressing {
            Addressing::Path => UrlStyle::Path,
            Addressing::Virtual => UrlStyle::VirtualHost,
        };
        let bucket =
            Bucket::new(config.endpoint.clone(), style, config.bucket.clone(), config.region.clone())
                .map_err(|error| {
                    Error::Config(format!(
                        "[DataBackend] bucket_name and {}: they make no address ({error}); with \
                         addressing_style: path they may.",
                        config.names.endpoint
                    ))
                })?;
        let key = credential(&config.access_key_id, "aws_access_key_id", "AWS_ACCESS_KEY_ID")?;
        let secret = credential(&config.secret_access_key, "aws_secret_access_key", "AWS_SECRET_ACCESS_KEY")?;
        let credentials = match &config.session_token {
            Some(token) => Credentials::new_with_token(key, secret, token.reveal()),
            None => Credentials::new(key, secret),
        };
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // A request is signed for one address.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .max_idle_age(MAX_IDLE)
            .user_agent(concat!("backy2/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Client { agent, bucket, credentials, names: config.names })
    }

    /// The bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// What requests are signed with.
    pub fn credentials(&self) -> Option<&Credentials> {
        Some(&self.credentials)
    }

    /// What the settings are called.
    pub fn names(&self) -> Names {
        self.names
    }

    /// Sends a request with the headers that are signed with it. The connection may be silent for `limit`. An
    /// answer that is no success is a failure.
    pub fn send<'a, A: S3Action<'a>>(
        &self,
        action: &A,
        headers: &[(&str, &str)],
        body: impl AsSendBody,
        limit: Duration,
    ) -> std::result::Result<Response<Body>, Failure> {
        let mut request = Request::builder().method(A::METHOD.to_str()).uri(action.sign(EXPIRES).as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(body)
            .map_err(|error| Failure::new(Kind::Lasting, format!("no request can be made: {error}")))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_resolve(Some(limit))
            .timeout_connect(Some(limit))
            .timeout_per_read(Some(limit))
            .timeout_per_write(Some(limit))
            .build();
        let mut response =
            self.agent.run(request).map_err(|error| Failure::of_transport(&error, self.names))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => {
                // Without its text it is still an answer.
                let told = self.text(&mut response).unwrap_or_default();
                Err(Failure::of_answer(status.as_u16(), &told, self.names))
            }
        }
    }

    /// The text of an answer.
    pub fn text(&self, response: &mut Response<Body>) -> std::result::Result<String, Failure> {
        let mut bytes = Vec::new();
        self.read(response, MOST_TEXT, &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads the body of an answer into `data`, which is cleared, but no more than `most` bytes.
    pub fn read(
        &self,
        response: &mut Response<Body>,
        most: u64,
        data: &mut Vec<u8>,
    ) -> std::result::Result<(), Failure> {
        data.clear();
        let length = response.body().content_length();
        // One more, so that the end is seen without growing.
        data.reserve(length.unwrap_or_default().min(most) as usize + 1);
        let reader = response.body_mut().as_reader();
        reader
            .take(most)
            .read_to_end(data)
            .map_err(|error| Failure::of_transport(&ureq::Error::from(error), self.names))?;
        match length {
            Some(length) if (data.len() as u64) < length.min(most) => {
                Err(Failure::new(Kind::Network, "the answer ended early"))
            }
            _ => Ok(()),
        }
    }
}

fn credential(from: &Credential, key: &str, variable: &str) -> Result<String> {
    match from {
        Credential::Given(secret) => Ok(secret.reveal().to_owned()),
        Credential::File(path) => from_file(path, key),
        Credential::Unset => Err(Error::Config(format!(
            "[DataBackend] {key} is missing. Set it, or {key}_file, or the environment variable {variable}."
        ))),
    }
}

/// Bytes of a file of a key that are read.
const LONGEST_KEY: u64 = 1 << 16;

fn from_file(path: &Path, key: &str) -> Result<String> {
    let error =
        |problem: &str| Error::Config(format!("[DataBackend] {key}_file: {} {problem}.", path.display()));
    let unreadable = |e: std::io::Error| error(&format!("cannot be read: {e}"));
    let opened = trust::open(path, false).map_err(unreadable)?;
    if let Some(doubt) = opened.doubts.iter().find(|doubt| matches!(doubt, Doubt::Writable(_))) {
        return Err(error(&format!("{doubt}: `chmod 600` it")));
    }
    let mut text = String::new();
    opened.file.take(LONGEST_KEY).read_to_string(&mut text).map_err(unreadable)?;
    let text = text.trim();
    match text.is_empty() || text.contains(char::is_whitespace) {
        false => Ok(text.to_owned()),
        true => Err(error("must hold nothing but the key, on one line")),
    }
}

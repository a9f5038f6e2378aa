//! The URL of a PostgreSQL database, as libpq and SQLAlchemy write it.

use super::passfile::{self, Account};
use percent_encoding::percent_decode_str;
use postgres::config::ChannelBinding;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

const DEFAULT_PORT: u16 = 5432;
/// The folder of sockets on Debian.
const SOCKETS: &str = "/var/run/postgresql";
/// Time limit for one attempt to connect, unless the URL sets one.
const CONNECT: Duration = Duration::from_secs(10);

/// How the server's certificate is verified (`sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// `disable`: no TLS.
    NoTls,
    /// `allow`, `prefer`, and the default for servers on this host: TLS if the server offers it, with any certificate.
    Optional,
    /// The default for other hosts: TLS if the server offers it, with any certificate. Without TLS only SCRAM is
    /// allowed, which does not reveal the password.
    Careful,
    /// `require`: TLS with any certificate.
    Encrypted,
    /// `verify-ca`: TLS with a certificate that a trusted authority has signed.
    Authority,
    /// `verify-full`: as `verify-ca`, and the certificate must be for this host.
    Full,
}

/// The address of a database, and the credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// A host name, or the folder of a socket, which begins with a slash.
    pub host: String,
    /// TCP port, or the number in the socket's name.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// Name of the user.
    pub user: String,
    /// The password, from the URL or the password file.
    pub password: Option<String>,
    /// How the server is verified.
    pub verify: Verify,
    /// Whether SCRAM must rule out that somebody sits in between (`channel_binding`).
    pub binding: ChannelBinding,
    /// PEM file of certificate authorities. Without one, the system's authorities count.
    pub root_certificates: Option<PathBuf>,
    /// PEM files of a certificate and its key, by which the server identifies the client.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Time limit for one attempt to connect.
    pub connect_timeout: Duration,
    /// Settings for the session, as `-c name=value`.
    pub options: Option<String>,
    /// The name that the server's lists of sessions show.
    pub application_name: String,
    /// The URL has several `@`, and the last one was taken for the end of the password.
    pub is_doubtful: bool,
}

/// Advice for a URL whose password is not encoded.
pub(super) const ENCODE: &str = "In user and password write %40 for @, %2F for /, %3F for ?, %23 for #, %3A for : and %25 for % \
     (in an INI file each % twice)";

impl Address {
    /// Parses `postgresql://[user[:password]@][host][:port][/database][?parameter=value&…]`; the caller has checked the
    /// scheme. Missing parts get libpq's defaults: the user of the process, the local socket, a database with the
    /// user's name, the password from `~/.pgpass`.
    ///
    /// # Errors
    /// A text that says what is wrong; it never contains the password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let is_doubtful = pitfalls(url)?;
        let (url, host_is_missing) = with_host(url);
        let url = Url::parse(&url).map_err(|e| format!("this is not a URL ({e})"))?;
        let account = passfile::account();
        let mut address = Address {
            host: decoded(url.host_str().unwrap_or_default())?.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(DEFAULT_PORT),
            database: decoded(url.path().trim_start_matches('/'))?,
            user: decoded(url.username())?,
            password: url.password().map(decoded).transpose()?,
            verify: Verify::Careful,
            binding: ChannelBinding::Prefer,
            root_certificates: None,
            client_certificate: None,
            connect_timeout: CONNECT,
            options: None,
            application_name: "backy2".to_owned(),
            is_doubtful,
        };
        if host_is_missing {
            address.host.clear();
        }
        let mut files =
            Files { passfile: account.as_ref().map(|a| a.home.join(".pgpass")), ..Files::default() };
        for (key, value) in url.query_pairs() {
            address.parameter(&key, &value, &mut files)?;
        }
        address.complete(account, files)?;
        Ok(address)
    }

    fn parameter(&mut self, key: &str, value: &str, files: &mut Files) -> Result<(), String> {
        let path = || Some(PathBuf::from(value));
        match key {
            "host" | "hostaddr" => self.host = value.to_owned(),
            "port" => self.port = value.parse().map_err(|_| format!("port={value} is not a port number"))?,
            "dbname" => self.database = value.to_owned(),
            "user" => self.user = value.to_owned(),
            "password" => self.password = Some(value.to_owned()),
            "passfile" => files.passfile = path(),
            "sslmode" => self.verify = verify(value)?,
            "channel_binding" => self.binding = binding(value)?,
            "sslrootcert" if value == "system" => self.root_certificates = None,
            "sslrootcert" => self.root_certificates = path(),
            "sslcert" => files.certificate = path(),
            "sslkey" => files.key = path(),
            "options" => self.options = Some(value.to_owned()),
            "application_name" => self.application_name = value.to_owned(),
            "connect_timeout" => {
                let seconds: u64 = value
                    .parse()
                    .map_err(|_| format!("connect_timeout={value} is not a number of seconds"))?;
                // As in libpq, 2 seconds is the least.
                self.connect_timeout = Duration::from_secs(seconds.max(2));
            }
            // TCP keepalives are always on; the other parameters concern only libpq itself.
            "keepalives" | "client_encoding" | "gssencmode" | "target_session_attrs" => {}
            // The text may be a part of a password, so the error must not show it.
            other if other.contains('@') => return Err(misplaced()),
            other => return Err(format!("the parameter {other} is not known")),
        }
        Ok(())
    }

    fn complete(&mut self, account: Option<Account>, files: Files) -> Result<(), String> {
        if self.host.contains(',') {
            return Err("several hosts are not supported; name one".to_owned());
        }
        if self.host.is_empty() {
            self.host = SOCKETS.to_owned();
        }
        if self.user.is_empty() {
            self.user = account.map(|a| a.name).ok_or("name a user: postgresql://USER@HOST/DATABASE")?;
        }
        if self.database.is_empty() {
            self.database.clone_from(&self.user);
        }
        self.client_certificate = match (files.certificate, files.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err("sslcert and sslkey must be given together".to_owned()),
        };
        if self.verify == Verify::Careful && self.is_within_host() {
            self.verify = Verify::Optional;
        }
        // As in libpq, naming authorities means that the certificate is verified.
        if self.verify == Verify::Encrypted && self.root_certificates.is_some() {
            self.verify = Verify::Authority;
        }
        if self.password.is_none()
            && let Some(file) = files.passfile
        {
            let host = if self.is_local() { "localhost" } else { &self.host };
            self.password = passfile::password(&file, host, self.port, &self.database, &self.user)?;
        }
        Ok(())
    }

    /// Whether the connection stays within this host.
    fn is_within_host(&self) -> bool {
        let loopback = |address: IpAddr| address.is_loopback();
        self.is_local() || self.host == "localhost" || self.host.parse().is_ok_and(loopback)
    }

    /// Whether the server is reached by a socket on this host.
    pub fn is_local(&self) -> bool {
        self.host.starts_with('/')
    }
}

/// The URL without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { user, host, port, database, .. } = self;
        if self.is_local() {
            write!(f, "postgresql://{user}@/{database}?host={host}&port={port}")
        } else if host.contains(':') {
            write!(f, "postgresql://{user}@[{host}]:{port}/{database}")
        } else {
            write!(f, "postgresql://{user}@{host}:{port}/{database}")
        }
    }
}

/// The same as `Display`, so that no password gets into a message by mistake.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Files that the URL names; they are used after the whole URL is parsed.
#[derive(Default)]
struct Files {
    passfile: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// Adds a host to a URL that has a user and no host (`postgresql://user@/database`), which libpq accepts and URLs do
/// not allow. Returns whether it did so.
fn with_host(url: &str) -> (Cow<'_, str>, bool) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.into(), false) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.ends_with('@') {
        (format!("{scheme}://{authority}localhost{rest}").into(), true)
    } else {
        (url.into(), false)
    }
}

/// Refuses an `@` or `#` behind the host: it probably belongs to the password, and messages would show what is there.
/// Returns whether there are several `@` before that.
fn pitfalls(url: &str) -> Result<bool, String> {
    let Some((_, rest)) = url.split_once("://") else { return Ok(false) };
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, parameters) = behind.split_once('?').unwrap_or((behind, ""));
    if path.contains(['@', '#']) || parameters.contains('#') {
        return Err(misplaced());
    }
    Ok(authority.matches('@').count() > 1)
}

fn misplaced() -> String {
    format!("there is an @ or a # after the host, which is probably part of the password. {ENCODE}")
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| "it contains bytes that are not UTF-8".to_owned())
}

fn binding(text: &str) -> Result<ChannelBinding, String> {
    Ok(match text {
        "disable" => ChannelBinding::Disable,
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        _ => return Err(format!("channel_binding={text} is not known; use disable, prefer or require")),
    })
}

fn verify(mode: &str) -> Result<Verify, String> {
    Ok(match mode {
        "disable" => Verify::NoTls,
        "allow" | "prefer" => Verify::Optional,
        "require" => Verify::Encrypted,
        "verify-ca" => Verify::Authority,
        "verify-full" => Verify::Full,
        _ => {
            return Err(format!(
                "sslmode={mode} is not known; use disable, prefer, require, verify-ca or verify-full"
            ));
        }
    })
}

#[cfg(test)]
mod tests;

//! The URL of a PostgreSQL database, as libpq and SQLAlchemy write it.

use super::passfile::{self, Account};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

const DEFAULT_PORT: u16 = 5432;
/// Where Debian's servers have their sockets.
const SOCKETS: &str = "/var/run/postgresql";
/// How long one attempt to connect may take where the URL does not say.
const CONNECT: Duration = Duration::from_secs(10);

/// How the server's certificate is verified (`sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// `disable`: no TLS.
    NoTls,
    /// `allow`, `prefer` and the default: TLS where the server has it, of whatever certificate.
    Optional,
    /// `require`: TLS, of whatever certificate.
    Encrypted,
    /// `verify-ca`: TLS, of a certificate that a trusted authority has signed.
    Authority,
    /// `verify-full`: the same, for this host.
    Full,
}

/// Where a database is, and how to get in.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// A host name, or the folder of a socket (begins with a slash).
    pub host: String,
    /// TCP port, or the number in the socket's name.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// Name of the user.
    pub user: String,
    /// From the URL or the password file.
    pub password: Option<String>,
    /// How the server is verified.
    pub verify: Verify,
    /// PEM file of authorities; the system's are used without one.
    pub root_certificates: Option<PathBuf>,
    /// PEM files of a certificate and its key, to show to the server.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Time for one attempt to connect.
    pub connect_timeout: Duration,
    /// Settings for the session, as `-c name=value`.
    pub options: Option<String>,
    /// The name that the server's lists show.
    pub application_name: String,
}

impl Address {
    /// Reads `postgresql://[user[:password]@][host][:port][/database][?parameter=value&…]`. The scheme has been
    /// looked at. What is missing is what libpq takes: the user of the process, the local socket, a database with
    /// the user's name, the password from `~/.pgpass`.
    ///
    /// # Errors
    /// A text that says what is wrong with it; it never repeats the password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (url, host_is_missing) = with_host(url);
        let url = Url::parse(&url).map_err(|e| format!("this is no URL ({e})"))?;
        let account = passfile::account();
        let mut address = Address {
            host: decoded(url.host_str().unwrap_or_default())?.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(DEFAULT_PORT),
            database: decoded(url.path().trim_start_matches('/'))?,
            user: decoded(url.username())?,
            password: url.password().map(decoded).transpose()?,
            verify: Verify::Optional,
            root_certificates: None,
            client_certificate: None,
            connect_timeout: CONNECT,
            options: None,
            application_name: "backy2".to_owned(),
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
            "port" => self.port = value.parse().map_err(|_| format!("port={value} is no port number"))?,
            "dbname" => self.database = value.to_owned(),
            "user" => self.user = value.to_owned(),
            "password" => self.password = Some(value.to_owned()),
            "passfile" => files.passfile = path(),
            "sslmode" => self.verify = verify(value)?,
            "sslrootcert" if value == "system" => self.root_certificates = None,
            "sslrootcert" => self.root_certificates = path(),
            "sslcert" => files.certificate = path(),
            "sslkey" => files.key = path(),
            "options" => self.options = Some(value.to_owned()),
            "application_name" => self.application_name = value.to_owned(),
            "connect_timeout" => {
                let seconds: u64 =
                    value.parse().map_err(|_| format!("connect_timeout={value} is no number of seconds"))?;
                // As libpq: less than two seconds are two.
                self.connect_timeout = Duration::from_secs(seconds.max(2));
            }
            // TCP keepalives are on in any case; others are about libpq's own ways.
            "keepalives" | "client_encoding" | "gssencmode" | "target_session_attrs" => {}
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
            _ => return Err("sslcert and sslkey go together".to_owned()),
        };
        // As libpq: with authorities named, the certificate is verified.
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

    /// Whether it is a socket on this host.
    pub fn is_local(&self) -> bool {
        self.host.starts_with('/')
    }
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { user, host, port, database, .. } = self;
        match self.is_local() {
            true => write!(f, "postgresql://{user}@/{database}?host={host}&port={port}"),
            false if host.contains(':') => write!(f, "postgresql://{user}@[{host}]:{port}/{database}"),
            false => write!(f, "postgresql://{user}@{host}:{port}/{database}"),
        }
    }
}

/// As it is displayed, so that no password gets into a message by mistake.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Files that the URL names and that are looked at once it is read.
#[derive(Default)]
struct Files {
    passfile: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// A user without a host (`postgresql://user@/database`) is none of a URL: it gets one, and that is told.
fn with_host(url: &str) -> (Cow<'_, str>, bool) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.into(), false) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    match authority.ends_with('@') {
        true => (format!("{scheme}://{authority}localhost{rest}").into(), true),
        false => (url.into(), false),
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| "it holds bytes that are no UTF-8".to_owned())
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
mod tests {
    use super::*;

    fn parse(url: &str) -> Address {
        Address::parse(url).expect(url)
    }

    #[test]
    fn every_part_is_read() {
        let address = parse(
            "postgresql+psycopg2://us%40er:p%2Fw%3A@db.example:5433/back%20y?sslmode=verify-full&sslrootcert=/ca.pem\
             &connect_timeout=1&application_name=x&options=-csearch_path%3Da",
        );
        assert_eq!((&address.user[..], address.password.as_deref()), ("us@er", Some("p/w:")));
        assert_eq!((&address.host[..], address.port, &address.database[..]), ("db.example", 5433, "back y"));
        assert_eq!((address.verify, address.root_certificates), (Verify::Full, Some("/ca.pem".into())));
        assert_eq!(address.connect_timeout, Duration::from_secs(2));
        assert_eq!(address.options.as_deref(), Some("-csearch_path=a"));
        let ipv6 = parse("postgres://u@[::1]/d");
        assert_eq!((&ipv6.host[..], &ipv6.to_string()[..]), ("::1", "postgresql://u@[::1]:5432/d"));
    }

    #[test]
    fn what_is_missing_is_as_with_libpq() {
        let address = parse("postgresql:///backy2");
        assert!(address.is_local() && !address.user.is_empty());
        assert_eq!(parse("postgresql://someone@h").database, "someone");
        assert_eq!(parse("postgresql://u@/d?host=/tmp/s&port=7").host, "/tmp/s");
        assert_eq!(parse("postgresql://u@%2Ftmp%2Fs/d").host, "/tmp/s");
        let checked = parse("postgresql://u@h/d?sslmode=require&sslrootcert=/ca.pem");
        assert_eq!(checked.verify, Verify::Authority);
    }

    #[test]
    fn mistakes_are_told_without_the_password() {
        for (url, word) in [
            ("postgresql://u:secret@h:x/d", "URL"),
            ("postgresql://u:secret@h/d?sslmode=no", "sslmode"),
            ("postgresql://u:secret@h/d?colour=red", "colour"),
            ("postgresql://u:secret@a,b/d", "several hosts"),
            ("postgresql://u:secret@h/d?sslcert=/x", "sslkey"),
            ("postgresql://u:secret@h/d?connect_timeout=soon", "connect_timeout"),
        ] {
            let error = Address::parse(url).expect_err(url);
            assert!(error.contains(word) && !error.contains("secret"), "{url}: {error}");
        }
        let address = parse("postgresql://u:secret@h/d");
        assert!(!format!("{address} {address:?}").contains("secret"));
    }
}

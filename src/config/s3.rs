//! `[DataBackend]` for the types `s3` and `minio`.

use super::values::Keys;
use crate::types::reason::because;
use crate::types::settings::Secret;
use crate::types::{Error, Result};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// How to reach a bucket on any kind of server.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// URL of the service: scheme and host, optionally a port and a path.
    pub endpoint: Url,
    /// Whether the bucket is in the path or in the host name.
    pub addressing: Addressing,
    /// The region that requests are signed for.
    pub region: String,
    /// The name of the bucket.
    pub bucket: String,
    /// The access key that identifies the user.
    pub access_key_id: Credential,
    /// The secret that proves the user's identity.
    pub secret_access_key: Credential,
    /// The token that goes with temporary credentials.
    pub session_token: Option<Secret>,
    /// Whether listings ask for URL-encoded names.
    pub encoding_type: bool,
    /// How long a connection may be silent, not 0.
    pub timeout: Duration,
    /// How long a request with a temporary failure is repeated. 0 = not at all.
    pub retry_time: Duration,
    /// The names of the settings, for messages.
    pub names: Names,
}

/// How the bucket's name is put into a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `https://host/bucket/key`
    Path,
    /// `https://bucket.host/key`
    Virtual,
}

/// Where a credential comes from.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The configuration has none.
    Unset,
    /// The credential itself.
    Given(Secret),
    /// A file whose first line is the credential. It is read when the store is opened.
    File(PathBuf),
}

/// Settings whose names depend on the type of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The key of the server's address.
    pub endpoint: &'static str,
    /// The key that chooses between http and https.
    pub tls: &'static str,
}

impl S3Config {
    /// Takes credentials that the configuration lacks from the variables that all S3 programs use. `variable` looks one
    /// up. A session token is used only with an access key from the same place.
    pub fn complete(&mut self, variable: impl Fn(&str) -> Option<String>) {
        let get = |name: &str| variable(name).filter(|text| !text.is_empty()).map(Secret::new);
        if matches!(self.access_key_id, Credential::Unset) {
            self.access_key_id = get("AWS_ACCESS_KEY_ID").map_or(Credential::Unset, Credential::Given);
            self.session_token = get("AWS_SESSION_TOKEN");
        }
        if matches!(self.secret_access_key, Credential::Unset) {
            self.secret_access_key =
                get("AWS_SECRET_ACCESS_KEY").map_or(Credential::Unset, Credential::Given);
        }
    }
}

/// The default of `region_name`. AWS needs a region, and most other servers accept any.
const REGION: &str = "us-east-1";
const ENDPOINT: &str = "endpoint_url";
const HOST: &str = "host";
const BUCKET: &str = "bucket_name";
/// The defaults of `timeout` and `retry_time`, in seconds.
const TIMEOUT: u64 = 60;
const RETRY_TIME: u64 = 300;

/// The settings of type `s3`, and a warning if two of them contradict each other.
pub(super) fn s3(keys: Keys) -> Result<(S3Config, Option<String>)> {
    let region = region(keys)?;
    let tls = keys.boolean("use_ssl", true)?;
    let mut warning = None;
    let endpoint = match keys.text(ENDPOINT)? {
        Some((text, value)) if text.contains("://") => {
            if let Some(contradicted) = keys.find("use_ssl").filter(|_| tls == text.starts_with("http://")) {
                warning = Some(format!(
                    "{}: [DataBackend] use_ssl has no effect: {ENDPOINT} ({}) already determines it.",
                    contradicted.place, value.place
                ));
            }
            url(keys, ENDPOINT, &text)?
        }
        Some((text, _)) => url(keys, ENDPOINT, &format!("{}{text}", scheme(tls)))?,
        None => {
            let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            let text = format!("{}s3.{region}.{domain}", scheme(tls));
            Url::parse(&text).map_err(|error| {
                Error::config(because(
                    format!("[DataBackend] region_name: {region:?} does not give a valid address"),
                    error,
                ))
            })?
        }
    };
    let names = Names { endpoint: ENDPOINT, tls: "use_ssl" };
    Ok((common(keys, endpoint, region, names)?, warning))
}

/// The settings of type `minio`.
pub(super) fn minio(keys: Keys) -> Result<S3Config> {
    let Some((host, value)) = keys.text(HOST)? else { return Err(missing(keys, HOST, "HOST:PORT")) };
    if host.contains('/') {
        return Err(keys.bad(HOST, value, "is not HOST:PORT; `secure` chooses between http and https"));
    }
    // The default for `secure` is that of 2.13.
    let endpoint = url(keys, HOST, &format!("{}{host}", scheme(keys.boolean("secure", false)?)))?;
    common(keys, endpoint, region(keys)?, Names { endpoint: HOST, tls: "secure" })
}

fn scheme(tls: bool) -> &'static str {
    if tls { "https://" } else { "http://" }
}

fn region(keys: Keys) -> Result<String> {
    Ok(keys.text("region_name")?.map_or_else(|| REGION.to_owned(), |(text, _)| text))
}

fn missing(keys: Keys, key: &str, what: &str) -> Error {
    let place = keys.find("type").map_or_else(String::new, |value| format!("{}: ", value.place));
    Error::config(format!("{place}[DataBackend] {key} is missing: this type of store needs it ({what})."))
}

/// The address of a server, from the value of `key`.
fn url(keys: Keys, key: &str, text: &str) -> Result<Url> {
    let good = |url: &Url| {
        ["http", "https"].contains(&url.scheme())
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    Url::parse(text).ok().filter(good).ok_or_else(|| match keys.find(key) {
        Some(value) => {
            keys.bad(key, value, "is not the address of a server (such as https://s3.example.com)")
        }
        None => missing(keys, key, "the address of the server"),
    })
}

fn common(keys: Keys, endpoint: Url, region: String, names: Names) -> Result<S3Config> {
    // The names are boto's. For `auto`, boto chooses the style that the server is known to support.
    let styles = [("path", Addressing::Path), ("virtual", Addressing::Virtual), ("auto", Addressing::Path)];
    let addressing = keys.choice("addressing_style", &styles, Addressing::Path)?;
    if let Some((version, value)) = keys.text("signature_version")?
        && !["v4", "s3v4"].contains(&version.as_str())
    {
        return Err(keys.bad(
            "signature_version",
            value,
            "is not supported: requests are signed with v4 only",
        ));
    }
    let Some((bucket, value)) = keys.text(BUCKET)? else {
        return Err(missing(keys, BUCKET, "the bucket for the blobs, which must exist"));
    };
    if !bucket.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c))
        || [".", ".."].contains(&&bucket[..])
    {
        return Err(keys.bad(BUCKET, value, "is not the name of a bucket: use letters, digits, -, . and _"));
    }
    Ok(S3Config {
        endpoint,
        addressing,
        region,
        bucket,
        access_key_id: credential(keys, "aws_access_key_id", "aws_access_key_id_file")?,
        secret_access_key: credential(keys, "aws_secret_access_key", "aws_secret_access_key_file")?,
        session_token: None,
        encoding_type: !keys.boolean("disable_encoding_type", false)?,
        timeout: Duration::from_secs(keys.number("timeout", 1..=86_400, TIMEOUT)?),
        retry_time: Duration::from_secs(keys.number("retry_time", 0..=86_400, RETRY_TIME)?),
        names,
    })
}

/// A warning if others than the owner can read the file of the secret.
pub(super) fn exposed(config: &S3Config) -> Option<String> {
    let Credential::File(path) = &config.secret_access_key else { return None };
    let mode = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.mode();
    let path = path.display();
    (mode & 0o044 != 0).then(|| {
        format!(
            "Users other than its owner can read {path}, which contains a key. Run `chmod 600 \
                          {path}`."
        )
    })
}

fn credential(keys: Keys, key: &str, file: &str) -> Result<Credential> {
    Ok(match (keys.text(key)?, keys.path(file)?) {
        (Some((text, _)), _) => Credential::Given(Secret::new(text)),
        (None, Some(path)) => Credential::File(path),
        (None, None) => Credential::Unset,
    })
}

#[cfg(test)]
mod tests;

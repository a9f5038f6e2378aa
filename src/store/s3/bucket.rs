//! The addresses of a bucket and its objects.

use crate::config::Addressing;
use url::Url;

/// A bucket on a server.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// The address of the bucket. It ends in a slash, so that keys can be appended.
    base: Url,
}

impl Bucket {
    /// The bucket `name` on the server at `endpoint`. `None` if they do not form an address.
    pub(super) fn new(mut endpoint: Url, addressing: Addressing, name: &str) -> Option<Self> {
        let path = endpoint.path().trim_end_matches('/').to_owned();
        match addressing {
            Addressing::Path => endpoint.set_path(&format!("{path}/{}/", encoded(name))),
            Addressing::Virtual => {
                let host = format!("{name}.{}", endpoint.host_str()?);
                endpoint.set_host(Some(&host)).ok()?;
                endpoint.set_path(&format!("{path}/"));
                // If parsing changes the name (capital letters), it would name another bucket.
                (endpoint.host_str() == Some(&host)).then_some(())?;
            }
        }
        Some(Bucket { base: endpoint })
    }

    /// The address of the bucket, for messages.
    pub(super) fn location(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The value of the header `Host`: the host, and the port unless it is the default of the scheme.
    pub(super) fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The path of an object, or of the bucket itself (`""`), as it is sent and signed.
    pub(super) fn path(&self, key: &str) -> String {
        let path: Vec<String> = self.base.path().split('/').map(encoded_once).collect();
        let key: Vec<String> = key.split('/').map(encoded).collect();
        path.join("/") + &key.join("/")
    }

    /// Scheme, host and port: the part before the path.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", self.base.scheme(), self.host())
    }
}

/// Percent-encodes `text` for signatures: everything except letters, digits and `-._~`.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Does the same for a text that may already be percent-encoded in part, such as the path of a URL.
fn encoded_once(text: &str) -> String {
    encoded(&percent_encoding::percent_decode_str(text).decode_utf8_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(endpoint: &str, addressing: Addressing, name: &str) -> Option<Bucket> {
        Bucket::new(endpoint.parse().expect("a URL"), addressing, name)
    }

    #[test]
    fn the_bucket_is_in_the_path_or_in_the_host() {
        let path = bucket("https://h.example:9000/s3", Addressing::Path, "back.ups").expect("good");
        assert_eq!(
            (path.location(), &path.host()[..]),
            ("https://h.example:9000/s3/back.ups", "h.example:9000")
        );
        assert_eq!((&path.path("k")[..], &path.origin()[..]), ("/s3/back.ups/k", "https://h.example:9000"));
        let host = bucket("https://h.example:443", Addressing::Virtual, "b").expect("good");
        assert_eq!(
            (host.location(), &host.host()[..], &host.path("")[..]),
            ("https://b.h.example", "b.h.example", "/")
        );
        let ipv6 = bucket("http://[::1]:80/", Addressing::Path, "b").expect("good");
        assert_eq!((&ipv6.host()[..], &ipv6.path("k")[..]), ("[::1]", "/b/k"));
    }

    #[test]
    fn a_name_that_would_be_another_bucket_is_refused() {
        assert!(bucket("https://h", Addressing::Virtual, "Capital").is_none());
        assert!(bucket("https://127.0.0.1", Addressing::Virtual, "b").is_none());
    }

    #[test]
    fn paths_are_encoded_once() {
        let odd = bucket("https://h/a%20b(c)$d", Addressing::Path, "b").expect("good");
        assert_eq!(odd.path("x y/z"), "/a%20b%28c%29%24d/b/x%20y/z");
    }
}

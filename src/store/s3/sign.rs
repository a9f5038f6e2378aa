//! Signatures of requests, version 4, in the header `Authorization`. There they do not end up in logs of addresses, and
//! each is valid for one request with one body.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use super::bucket::encoded;
use crate::types::settings::Secret;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt::Write;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The credentials for signing.
pub(super) struct Signer {
    /// The access key. It is sent.
    pub key: Secret,
    /// The secret key. It is never sent.
    pub secret: Secret,
    /// The token of temporary credentials.
    pub token: Option<Secret>,
    /// The region that signatures are valid for.
    pub region: String,
}

/// The parts of a request that are signed.
pub(super) struct Unsigned<'r> {
    /// The method, such as `GET`.
    pub method: &'r str,
    /// The header `Host`.
    pub host: &'r str,
    /// The path, encoded.
    pub path: &'r str,
    /// The query, encoded and sorted, as [`query`] returns it.
    pub query: &'r str,
    /// All other headers that are sent and signed, with names in lower case.
    pub headers: &'r [(&'r str, &'r str)],
    /// The digest of the body, as [`digest`] returns it.
    pub digest: &'r str,
}

impl Signer {
    /// The headers that sign the request.
    pub(super) fn sign(&self, request: &Unsigned<'_>, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
        let date = now.format("%Y%m%dT%H%M%SZ").to_string();
        let mut added =
            vec![("x-amz-content-sha256", request.digest.to_owned()), ("x-amz-date", date.clone())];
        added.extend(self.token.iter().map(|token| ("x-amz-security-token", token.reveal().to_owned())));

        let mut headers: Vec<(&str, &str)> = vec![("host", request.host)];
        headers.extend(request.headers.iter().copied());
        headers.extend(added.iter().map(|(name, value)| (*name, &value[..])));
        headers.sort_unstable();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut canonical = format!("{}\n{}\n{}\n", request.method, request.path, request.query);
        for (name, value) in headers {
            canonical += &format!("{name}:{}\n", value.trim());
        }
        canonical += &format!("\n{names}\n{}", request.digest);

        let scope = format!("{}/{}/s3/aws4_request", &date[..8], self.region);
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", digest(canonical.as_bytes()));
        let signature = hex(&mac(&self.signing_key(&date[..8]), &text));
        let key = self.key.reveal();
        added.push((
            "authorization",
            format!("{ALGORITHM} Credential={key}/{scope},SignedHeaders={names},Signature={signature}"),
        ));
        added
    }

    /// The signing key for one day, region and service.
    fn signing_key(&self, day: &str) -> [u8; 32] {
        let first = mac(format!("AWS4{}", self.secret.reveal()).as_bytes(), day);
        mac(&mac(&mac(&first, &self.region), "s3"), "aws4_request")
    }
}

/// The parameters, encoded and sorted for sending and signing.
pub(super) fn query(parameters: &[(&str, &str)]) -> String {
    let mut parameters: Vec<_> =
        parameters.iter().map(|(name, value)| (encoded(name), encoded(value))).collect();
    parameters.sort_unstable();
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parameters.join("&")
}

/// SHA-256 in hexadecimal.
pub(super) fn digest(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn mac(key: &[u8], text: &str) -> [u8; 32] {
    // The key may have any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the documentation named above: method, path, query, headers, body, signature.
    type Example = (
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static [(&'static str, &'static str)],
        &'static str,
        &'static str,
    );
    const EXAMPLES: [Example; 4] = [
        (
            "GET",
            "/test.txt",
            &[],
            &[("range", "bytes=0-9")],
            "",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            &[],
            &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
            "Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/",
            &[("lifecycle", "")],
            &[],
            "",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            &[("prefix", "J"), ("max-keys", "2")],
            &[],
            "",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ];

    fn signer(token: Option<&str>) -> Signer {
        Signer {
            key: Secret::new("AKIAIOSFODNN7EXAMPLE".into()),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into()),
            token: token.map(|token| Secret::new(token.into())),
            region: "us-east-1".into(),
        }
    }

    fn value<'h>(headers: &'h [(&'static str, String)], name: &str) -> &'h str {
        &headers.iter().find(|(n, _)| *n == name).expect(name).1
    }

    #[test]
    fn signatures_are_those_of_the_published_examples() {
        let now = "2013-05-24T00:00:00Z".parse().expect("a time");
        for (method, path, parameters, headers, body, signature) in EXAMPLES {
            let (query, digest) = (query(parameters), digest(body.as_bytes()));
            let host = "examplebucket.s3.amazonaws.com";
            let request = Unsigned { method, host, path, query: &query, headers, digest: &digest };
            let signed = signer(None).sign(&request, now);
            let authorization = value(&signed, "authorization");
            assert!(authorization.ends_with(&format!(",Signature={signature}")), "{path}: {authorization}");
            assert_eq!((value(&signed, "x-amz-date"), signed.len()), ("20130524T000000Z", 3));
        }
    }

    #[test]
    fn a_session_token_is_sent_and_signed() {
        let digest = digest(b"");
        let request =
            Unsigned { method: "GET", host: "h", path: "/", query: "", headers: &[], digest: &digest };
        let signed = signer(Some("session")).sign(&request, Utc::now());
        assert_eq!(value(&signed, "x-amz-security-token"), "session");
        let names = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
        assert!(value(&signed, "authorization").contains(names), "{signed:?}");
    }

    #[test]
    fn parameters_are_encoded_and_in_order() {
        assert_eq!(query(&[("b", "x y/z+"), ("a", ""), ("a-b", "ü")]), "a=&a-b=%C3%BC&b=x%20y%2Fz%2B");
    }
}

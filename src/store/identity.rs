//! The identity of a store: one line of JSON in the object `backy2.store`.
//!
//! It tells a store from every other one, from a folder where nothing is mounted, and from a bucket that was made anew.
//! It also keeps the *store key*, wrapped with the master key.

use super::{GetError, Objects};
use crate::types::error::Result;
use crate::types::hex::{from_hex, to_hex};
use crate::types::object::ObjectName;
use crate::types::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

/// The only format so far.
const FORMAT: u64 = 1;
/// The most bytes of an identity. One has 400.
const MOST: u64 = 1 << 16;

/// The identity of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    format: u64,
    /// A random UUID in lower case.
    pub uuid: String,
    /// When it was made, in UTC. An identity that somebody wrote by hand may lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<String>,
    /// The store key as the master key wraps it, as 80 hex digits. `None` if no master key was configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether the store may hold blobs without encryption.
    #[serde(default = "yes")]
    pub plain: bool,
    /// A code over the other fields, by which changes are noticed. There is none without a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
}

/// An identity that says nothing of it may be that of a store with plain blobs.
fn yes() -> bool {
    true
}

impl Identity {
    /// The identity with this UUID, made now. It has no key.
    pub(crate) fn new(uuid: &str, plain: bool) -> Self {
        let made = Some(now());
        Identity { format: FORMAT, uuid: uuid.to_owned(), made, key: None, plain, mac: None }
    }

    /// A UUID for a new identity.
    pub(crate) fn new_uuid() -> String {
        Uuid::new_v4().to_string()
    }

    /// Sets the wrapped key, and computes the code with `key`, which is derived from the key itself
    /// ([`crate::crypt::identity_key`]).
    pub(crate) fn seal(&mut self, wrapped: &str, key: &[u8; 32]) {
        self.made.get_or_insert_with(now);
        self.key = Some(wrapped.to_owned());
        self.mac = self.code(key).map(|code| to_hex(&code.finalize().into_bytes()));
    }

    /// Whether the code was computed from these fields with this key.
    pub(crate) fn is_sealed(&self, key: &[u8; 32]) -> bool {
        let stored = self.mac.as_deref().and_then(from_hex);
        let both = self.code(key).zip(stored);
        both.is_some_and(|(code, stored)| code.verify_slice(&stored).is_ok())
    }

    /// The code over all fields but itself. Keys of this length are never refused.
    fn code(&self, key: &[u8; 32]) -> Option<Hmac<Sha256>> {
        let mut code = Hmac::<Sha256>::new_from_slice(key).ok()?;
        code.update(Identity { mac: None, ..self.clone() }.line().as_bytes());
        Some(code)
    }

    /// The text of the object.
    pub(crate) fn line(&self) -> String {
        // Texts, numbers and truth values can always be written.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Reads the text of an object.
    fn parse(data: &[u8]) -> std::result::Result<Self, Refusal> {
        let damaged = |_| Refusal::Damaged("is damaged".to_owned());
        let value: serde_json::Value = serde_json::from_slice(data).map_err(damaged)?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(FORMAT) => {}
            Some(newer) if newer > FORMAT => {
                return Err(Refusal::Newer(format!(
                    "has the format {newer}: it was made by a newer release. Use that release"
                )));
            }
            _ => return Err(Refusal::Damaged("is damaged".to_owned())),
        }
        let mut identity: Identity = serde_json::from_value(value).map_err(damaged)?;
        // Messages and commands show it.
        let uuid = Uuid::parse_str(&identity.uuid);
        identity.uuid = uuid.map_err(|_| Refusal::Damaged("has no UUID".to_owned()))?.to_string();
        Ok(identity)
    }
}

/// The present time, as an identity shows it.
fn now() -> String {
    Timestamp::now().naive().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What a store says of itself.
pub(crate) enum Found {
    /// Nothing: it has no identity.
    Nothing,
    /// This identity.
    Identity(Identity),
    /// Something that cannot be read, or is no identity. The text is the end of a sentence that begins with the name of
    /// the object.
    Unusable(String),
    /// The identity of a store of a newer release. The text is as above.
    Newer(String),
}

/// Why a text is not used as an identity, as the end of a sentence that begins with the name of the object.
#[derive(Debug)]
enum Refusal {
    Damaged(String),
    Newer(String),
}

/// Reads the identity of a store, from wherever its location leads now.
///
/// # Errors
/// [`crate::types::Error::Store`].
pub(crate) fn read<S: Objects + ?Sized>(store: &S) -> Result<Found> {
    let data = match store.get_object(&ObjectName::Identity, MOST) {
        Ok(data) => data,
        Err(GetError::Unreadable(why)) => return Ok(Found::Unusable(why)),
        Err(GetError::Store(error)) => return Err(error),
    };
    Ok(match data.map(|data| Identity::parse(&data)) {
        None => Found::Nothing,
        Some(Ok(identity)) => Found::Identity(identity),
        Some(Err(Refusal::Newer(why))) => Found::Newer(why),
        Some(Err(Refusal::Damaged(why))) => Found::Unusable(why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_one_line_that_is_read_back_and_checked() {
        let mut identity = Identity::new(&Identity::new_uuid(), false);
        let line = identity.line();
        assert!(
            line.starts_with("{\"format\":1,\"uuid\":\"") && line.ends_with("Z\",\"plain\":false}\n"),
            "{line}"
        );
        assert_eq!(Identity::parse(line.as_bytes()).expect("read"), identity);
        assert!(!identity.is_sealed(&[1; 32]));
        identity.seal(&"ab".repeat(40), &[1; 32]);
        let read = Identity::parse(identity.line().as_bytes()).expect("read");
        assert_eq!(read, identity);
        assert!(read.is_sealed(&[1; 32]) && !read.is_sealed(&[2; 32]));
        assert!(!Identity { plain: true, ..read.clone() }.is_sealed(&[1; 32]));
        assert!(!Identity { uuid: Identity::new_uuid(), ..read }.is_sealed(&[1; 32]));
    }

    #[test]
    fn the_code_is_the_same_in_every_release() {
        let mut identity = Identity {
            format: 1,
            uuid: "0b6f1f0e-3f5c-4e0e-9f55-6d1c6d1f2a3b".to_owned(),
            made: Some("2026-11-28T02:15:33Z".to_owned()),
            key: None,
            plain: true,
            mac: None,
        };
        // The key that is derived from 32 bytes 7.
        let key = from_hex("85ee9aff45dfeaa38cd584d438b52cd199e47b41c71058da41612d340294a93a").expect("hex");
        identity.seal(&"00".repeat(40), key[..].try_into().expect("32 bytes"));
        assert_eq!(
            identity.mac.as_deref(),
            Some("8f559bd16ca8668938a8f05b747125b55a2b17e39ee8018f5b68f6c30e1a0486")
        );
    }

    #[test]
    fn what_somebody_wrote_by_hand_is_read_and_other_text_is_not() {
        let by_hand = r#"{"format": 1, "uuid": "0B6F1F0E-3F5C-4E0E-9F55-6D1C6D1F2A3B"}"#;
        let identity = Identity::parse(by_hand.as_bytes()).expect("read");
        assert_eq!((&identity.uuid[..], identity.plain), ("0b6f1f0e-3f5c-4e0e-9f55-6d1c6d1f2a3b", true));
        for (text, why) in [
            ("", "damaged"),
            ("{}", "damaged"),
            (r#"{"format":1}"#, "damaged"),
            (r#"{"format":1,"uuid":"x"}"#, "no UUID"),
            (r#"{"format":2}"#, "newer release"),
            ("\0\0\0", "damaged"),
        ] {
            let error = format!("{:?}", Identity::parse(text.as_bytes()).expect_err(text));
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}

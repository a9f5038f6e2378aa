//! The secret of a store, from which the keys for its metadata are derived.

use super::{DecodeError, Keyring};
use crate::types::hex::to_hex;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// The use of a derived key. No two uses share a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The authentication code of a store's identity.
    Identity,
    /// The encryption of objects.
    Objects,
    /// The sum of a version's rows.
    Rows,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::Identity => b"backy2 identity",
            Purpose::Objects => b"backy2 objects",
            Purpose::Rows => b"backy2 rows",
        }
    }
}

/// The store key: 32 random bytes, made together with the store's identity. Outside of the program it exists only
/// wrapped with the master key, as the keys of blobs do.
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; 32]>);

impl StoreKey {
    /// A new random key.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> std::io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(std::io::Error::other)?;
        Ok(StoreKey(bytes))
    }

    /// A key that a test knows.
    #[cfg(test)]
    pub(super) fn known(bytes: [u8; 32]) -> Self {
        StoreKey(Zeroizing::new(bytes))
    }

    /// The key that `wrapped` (80 hex digits) holds.
    ///
    /// # Errors
    /// [`DecodeError::NoKey`] without a master key, [`DecodeError::KeyField`] if the text has another form, and
    /// [`DecodeError::KeyUnwrap`] if the master key does not open it.
    pub fn unwrap(keys: &Keyring, wrapped: &str) -> Result<Self, DecodeError> {
        keys.unwrap(wrapped).map(StoreKey)
    }

    /// The key as 80 hex digits, wrapped with the master key. The same two keys always give the same digits.
    ///
    /// # Errors
    /// [`DecodeError::NoKey`] without a master key.
    pub fn wrap(&self, keys: &Keyring) -> Result<String, DecodeError> {
        keys.wrap(&*self.0).map(|wrapped| to_hex(&wrapped))
    }

    /// The key for `purpose`, by HKDF-SHA256 (RFC 5869). `salt` may be empty.
    ///
    /// # Errors
    /// None in practice: HKDF refuses only to make longer keys.
    pub fn derive(&self, salt: &[u8], purpose: Purpose) -> std::io::Result<Zeroizing<[u8; 32]>> {
        derive(&*self.0, salt, purpose)
    }
}

/// The key for the sum of a version's rows: from the store key, or a fixed one in an installation without a master
/// key. The fixed key is no secret, so a sum under it shows accidents and no forgeries.
///
/// # Errors
/// As [`StoreKey::derive`].
pub fn rows_key(store_key: Option<&StoreKey>) -> std::io::Result<Zeroizing<[u8; 32]>> {
    derive(store_key.map_or(&[], |key| &key.0[..]), &[], Purpose::Rows)
}

/// The key of the authentication code of an identity that holds the store key as `wrapped`.
///
/// # Errors
/// As [`StoreKey::unwrap`].
pub fn identity_key(keys: &Keyring, wrapped: &str) -> Result<Zeroizing<[u8; 32]>, DecodeError> {
    let derived = StoreKey::unwrap(keys, wrapped)?.derive(&[], Purpose::Identity);
    derived.map_err(|_| DecodeError::KeyUnwrap)
}

fn derive(secret: &[u8], salt: &[u8], purpose: Purpose) -> std::io::Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    let hkdf = Hkdf::<Sha256>::new(Some(salt), secret);
    hkdf.expand(purpose.label(), &mut *key).map_err(std::io::Error::other)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::settings::MasterKey;
    use hmac::{Hmac, KeyInit, Mac};

    fn known() -> StoreKey {
        StoreKey::known(std::array::from_fn(|n| n as u8))
    }

    #[test]
    fn a_store_key_opens_with_its_master_key_alone() {
        let ring = |digit: &str| Keyring::new(MasterKey::from_hex(&digit.repeat(64)).as_ref());
        let key = StoreKey::generate().expect("random numbers");
        let wrapped = key.wrap(&ring("a")).expect("wraps");
        assert_eq!((wrapped.len(), key.wrap(&ring("a")).as_ref()), (80, Ok(&wrapped)));
        assert_eq!(StoreKey::unwrap(&ring("a"), &wrapped).expect("opens").0, key.0);
        let error = |keys: &Keyring, text: &str| StoreKey::unwrap(keys, text).err();
        assert_eq!(error(&ring("b"), &wrapped), Some(DecodeError::KeyUnwrap));
        assert_eq!(error(&ring("a"), &wrapped[2..]), Some(DecodeError::KeyField));
        assert_eq!(error(&Keyring::new(None), &wrapped), Some(DecodeError::NoKey));
        assert_eq!(key.wrap(&Keyring::new(None)), Err(DecodeError::NoKey));
        assert_ne!(StoreKey::generate().expect("random numbers").0, key.0);
    }

    /// HKDF computed by hand: extract, then the first block of expand.
    #[test]
    fn keys_are_derived_by_hkdf() {
        let mac = |key: &[u8], data: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
            mac.update(data);
            mac.finalize().into_bytes()
        };
        for salt in [&b""[..], b"0123456789abcdef"] {
            let purposes = [Purpose::Identity, Purpose::Objects, Purpose::Rows];
            let keys = purposes.map(|purpose| {
                let extracted = mac(salt, &*known().0);
                let by_hand = mac(&extracted, &[purpose.label(), &[1]].concat());
                assert_eq!(known().derive(salt, purpose).expect("derives")[..], by_hand[..], "{purpose:?}");
                by_hand
            });
            assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        }
        let hex = |key: Option<&StoreKey>| to_hex(&*rows_key(key).expect("derives"));
        let of_known = "48ebd6f38a48bfeb4c6ccf4abf22b9456b574fc95870bcb946aab0ba0aab3e8c";
        assert_eq!(hex(Some(&known())), of_known);
        assert_eq!(hex(None), "51e5bbac11cef828567b60f63813a99de08815abe1a89b2ed4482fed7af270dd");
    }
}

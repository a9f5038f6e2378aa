//! The master key, and the wrapping of data keys with it (RFC 3394, default IV).

use super::{DecodeError, wrapped_key};
use crate::types::settings::MasterKey;
use aes_kw::{KeyInit, KwAes256};
use zeroize::Zeroizing;

/// Holds the master key, if one is configured.
#[derive(Clone)]
pub struct Keyring {
    wrapper: Option<KwAes256>,
}

impl Keyring {
    /// A keyring with `key`, or one that can only handle unencrypted blobs.
    pub fn new(key: Option<&MasterKey>) -> Self {
        Keyring { wrapper: key.map(|key| KwAes256::new(key.bytes().into())) }
    }

    /// Whether there is a master key.
    pub fn has_key(&self) -> bool {
        self.wrapper.is_some()
    }

    /// Wraps a 32-byte data key into 40 bytes.
    ///
    /// # Errors
    /// [`DecodeError::NoKey`], or [`DecodeError::KeyField`] if `key` has another size.
    pub fn wrap(&self, key: &[u8]) -> Result<[u8; 40], DecodeError> {
        let wrapper = self.wrapper.as_ref().ok_or(DecodeError::NoKey)?;
        let mut wrapped = [0; 40];
        wrapper.wrap_key(key, &mut wrapped).map_err(|_| DecodeError::KeyField)?;
        Ok(wrapped)
    }

    /// Unwraps the data key, which the metadata holds as 80 hex digits.
    ///
    /// # Errors
    /// [`DecodeError::NoKey`], [`DecodeError::KeyField`], or [`DecodeError::KeyUnwrap`] if the master key is another
    /// one or the row is damaged.
    pub fn unwrap(&self, envkey: &str) -> Result<Zeroizing<[u8; 32]>, DecodeError> {
        let wrapper = self.wrapper.as_ref().ok_or(DecodeError::NoKey)?;
        let wrapped = wrapped_key(envkey)?;
        let mut key = Zeroizing::new([0; 32]);
        wrapper.unwrap_key(&wrapped, &mut *key).map_err(|_| DecodeError::KeyUnwrap)?;
        Ok(key)
    }
}

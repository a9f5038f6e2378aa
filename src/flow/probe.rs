//! Checks before any write that the key, the hash function and the block size are right.
//!
//! A wrong setting makes every blob look damaged. These checks find it before anything is marked as damaged.

use super::fetch::{Damage, Fetch, Fetcher};
use crate::crypt::{DecodeError, Keyring};
use crate::hash::Hasher;
use crate::meta::Metadata;
use crate::types::error::{Error, Result};
use crate::types::settings::HashFunction;
use crate::types::version::Version;

/// Number of rows for which the key is tried. Unwrapping takes microseconds.
const KEYS: usize = 8;
/// Maximum number of blobs read to check the hash function. The first blob that matches is enough.
const BLOBS: usize = 3;
/// The largest block size that the configuration allows.
const LARGEST: usize = 1 << 30;

/// Tries the master key on several blobs of `version`, or of the whole store. If it fits at least one, the others
/// have damaged rows. If it fits none, the key is wrong.
///
/// # Errors
/// [`Error::WrongKey`]; [`Error::Config`] if there is no key and one is needed.
pub(crate) fn key(meta: &mut Metadata, keys: &Keyring, version: Option<&Version>) -> Result<()> {
    let mut rows = meta.sample(version, Some(1), KEYS)?;
    if rows.is_empty() {
        return Ok(());
    }
    let first = rows.first().and_then(|row| Some(row.blob.as_ref()?.id));
    if version.is_some() && rows.iter().all(|row| row.blob.as_ref().map(|blob| blob.id) == first) {
        // All rows use one blob, which may be damaged. So try others too.
        rows.extend(meta.sample(None, Some(1), KEYS)?);
    }
    let opened = rows.iter().filter_map(|row| row.blob.as_ref()).map(|blob| {
        let envkey = blob.encryption.envkey.as_deref().unwrap_or_default();
        keys.unwrap(envkey)
    });
    let mut wrong = false;
    for result in opened {
        match result {
            Ok(_) => return Ok(()),
            Err(DecodeError::NoKey) => {
                return Err(Error::config(
                    "[DEFAULTS] encryption_key is missing: the stored blobs are encrypted. Set it to the 64 hex \
                     digits that they were written with. Nothing was changed.",
                ));
            }
            Err(error) => wrong |= error == DecodeError::KeyUnwrap,
        }
    }
    if wrong {
        Err(Error::WrongKey(format!(
            "The configured encryption_key does not open the stored blobs ({} were tried): it is not the key that \
             they were written with. Nothing was changed.",
            rows.len()
        )))
    } else {
        Ok(())
    }
}

/// Checks the hash function against the checksums of a few stored blobs.
///
/// # Errors
/// [`Error::Config`] if the blobs were written with another function. Unreadable blobs prove nothing.
pub(crate) fn hash_function(meta: &mut Metadata, fetch: &Fetch<'_>) -> Result<()> {
    if fetch.store.is_generated() {
        return Ok(());
    }
    let mut fetcher = Fetcher::new(fetch)?;
    let (mut verified, mut other_length) = (0, 0);
    let digits = |function| Hasher::new(function).digest(b"").hex().len();
    let configured = digits(fetch.hasher.function());
    for row in meta.sample(None, None, BLOBS)? {
        let Some(blob) = row.blob else { continue };
        // A damaged row may contain any size.
        let Some(length) = usize::try_from(blob.size).ok().filter(|size| *size <= LARGEST) else { continue };
        let digest_length = blob.checksum.as_ref().map_or(0, |checksum| checksum.as_str().len());
        if digest_length != configured {
            other_length += usize::from(HashFunction::ALL.iter().any(|f| digits(*f) == digest_length));
            continue;
        }
        match fetcher.fetch(row.id, &blob, length, || false) {
            Ok(None) => return Ok(()),
            Ok(Some(Damage::Checksum { should, .. })) => {
                let fits = |f: &HashFunction| {
                    should.as_ref().is_some_and(|should| Hasher::new(*f).digest(fetcher.data()).is(should))
                };
                if let Some(function) = HashFunction::ALL.into_iter().find(fits) {
                    return Err(wrong_function(fetch, &format!("It is {function}.")));
                }
                // Decrypted data is certainly the data that was stored. Unencrypted data may be damaged.
                verified += usize::from(blob.encryption.version != 0);
            }
            // The store or the blob is bad. The command that needs it will report that.
            Ok(Some(_)) | Err(_) => {}
        }
    }
    // One mismatch alone may be a damaged checksum.
    if other_length > 0 || verified > 1 {
        return Err(wrong_function(fetch, "Set it to the function that they were written with."));
    }
    Ok(())
}

fn wrong_function(fetch: &Fetch<'_>, advice: &str) -> Error {
    Error::config(format!(
        "[DEFAULTS] hash_function: {} gives other checksums than the stored blobs have. {advice} Nothing was \
         changed.",
        fetch.hasher.function()
    ))
}

/// Compares the configured block size with the first block of `version`, or of the newest version.
///
/// # Errors
/// [`Error::Config`] if they differ.
pub(crate) fn block_size(meta: &mut Metadata, configured: u32, version: Option<&Version>) -> Result<()> {
    match meta.first_block_size(version)? {
        Some((uid, stored)) if stored != u64::from(configured) => Err(Error::config(format!(
            "[DEFAULTS] block_size: it is {configured}, but version {uid} was written with {stored}. All versions \
             of a database have one block size. Nothing was changed."
        ))),
        _ => Ok(()),
    }
}

//! Changes the master key.

use super::{Site, copies};
use crate::crypt::Keyring;
use crate::failpoint;
use crate::meta::{Rekeyed, Rewrapped};
use crate::types::error::{Error, Result};
use crate::types::hex::to_hex;
use crate::types::settings::MasterKey;

/// Unwraps the key of every blob with `old` and wraps it again with the configured key. Changes all keys or none. The
/// blobs themselves are not touched.
///
/// # Errors
/// Other processes are running, the old key does not fit, or no key is configured.
pub(crate) fn run(site: &mut Site<'_>, old: &str) -> Result<Rekeyed> {
    let old = MasterKey::from_hex(old)
        .ok_or_else(|| Error::refused("OLDKEY is not a key: it must have 64 hex digits."))?;
    if !site.keys.has_key() {
        return Err(Error::config(
            "[DEFAULTS] encryption_key is missing: it must hold the new key. Nothing was changed.",
        ));
    }
    let _exclusive = site.locks.exclusive(&site.config.process_name)?;
    let old = Keyring::new(Some(&old));
    let new = &site.keys;
    let rekeyed =
        site.meta.rekey(&mut |envkey| match old.unwrap(envkey).and_then(|key| new.wrap(&*key)) {
            Ok(wrapped) => Rewrapped::Anew(to_hex(&wrapped)),
            Err(_) if new.unwrap(envkey).is_ok() => Rewrapped::Already,
            Err(_) => Rewrapped::Damaged,
        })?;
    failpoint::pass("rekey-before-store");
    // The metadata is enough for a rekey, so the store may be away.
    if let Err(error) = site.rewrite_identity() {
        site.monitor.warning(&format!(
            "The new key was not written to the data store; the next backup does that: {}",
            error.line()
        ));
    }
    copies::follow(site);
    Ok(rekeyed)
}

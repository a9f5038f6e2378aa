//! Lists versions and changes their protection.

use super::{Site, copies, future, names};
use crate::meta::VersionFilter;
use crate::types::error::{Error, Result};
use crate::types::version::Version;

/// The versions that pass `filter`, sorted by name, then date. Warns about versions that are dated in the future.
///
/// # Errors
/// The database fails.
pub(crate) fn list(site: &mut Site<'_>, filter: &VersionFilter) -> Result<Vec<Version>> {
    let versions = site.versions(filter)?;
    future::tell(site, &versions, "Automatic tags, `due` and `sla` ignore them.");
    Ok(versions)
}

/// Protects a version from `rm`, or removes the protection.
///
/// # Errors
/// There is no such version, or it already has the requested state.
pub(crate) fn set_protected(site: &mut Site<'_>, version: &str, protected: bool) -> Result<()> {
    let version = names::find(site, version)?;
    if version.protected == protected {
        let state = if protected { "already" } else { "not" };
        return Err(Error::refused(format!("Version {} is {state} protected.", version.uid)));
    }
    site.meta.set_protected(&version, protected)?;
    copies::follow(site);
    Ok(())
}

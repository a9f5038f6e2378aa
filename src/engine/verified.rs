//! Records that a command has verified a version.

use super::Site;
use crate::meta::VerifiedBy;
use crate::types::time::Timestamp;
use crate::types::version::Version;

/// Records that this share of a version's blocks, in percent, was read and is good. A failure is only mentioned,
/// because the work itself was done. It does not wait for another process. Does nothing if the database cannot be written.
pub(super) fn record(site: &mut Site<'_>, version: &Version, by: VerifiedBy, share: u8) {
    if share == 0 || !site.meta.is_writable() {
        return;
    }
    if let Err(error) = site.meta.record_verification(version, by, share, Timestamp::now()) {
        site.monitor.info(&format!("The verification could not be recorded: {}", error.line()));
    }
}

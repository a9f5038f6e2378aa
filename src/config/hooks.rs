//! The commands that are run before and after other commands: `[hooks]`.

use super::Hooks;
use super::raw::Raw;
use super::values::Keys;
use crate::types::Result;
use std::time::Duration;

/// The section.
pub(super) const SECTION: &str = "hooks";
/// Its keys.
pub(super) const KEYS: &[&str] = &["before", "after", "on_failure", "timeout"];
/// The time limit of a hook.
const TIMEOUT: Duration = Duration::from_secs(3600);

impl Hooks {
    /// Whether there is a command.
    pub fn any(&self) -> bool {
        [&self.before, &self.after, &self.on_failure].iter().any(|script| script.is_some())
    }
}

/// The settings of the section.
pub(super) fn settings(raw: &Raw) -> Result<Hooks> {
    let keys = Keys::new(raw, SECTION);
    Ok(Hooks {
        before: keys.script("before")?,
        after: keys.script("after")?,
        on_failure: keys.script("on_failure")?,
        timeout: keys.time("timeout", Duration::from_secs(1))?.unwrap_or(TIMEOUT),
    })
}

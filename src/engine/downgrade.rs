//! `downgrade-check`: lists the steps that are necessary before and after 2.13 gets back the database from before the
//! upgrade.

use super::lock_dir;
use crate::config::Config;
use crate::meta::{self, GoingBack, LoneVersion, Since};
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};
use crate::types::settings::HashFunction;
use crate::types::uid::VersionUid;
use std::path::{Path, PathBuf};

/// When a step must be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// With this program, before the old database is put back.
    Before,
    /// With 2.13, after the old database was put back, in this order, before its first backup or cleanup.
    After,
    /// Never: nothing can be done about it.
    Lost,
}

/// What a command of a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Change the keys of all blobs back to the present key.
    Rekey,
    /// Export this version.
    Export(VersionUid),
    /// Import the dump of this version.
    Import(VersionUid),
    /// Take the protection of this version away.
    Unprotect(VersionUid),
    /// Remove this version, even if it is young.
    Remove(VersionUid),
    /// Scrub this version.
    Scrub(VersionUid),
}

/// Something that the user has to do or should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When to do it.
    pub when: When,
    /// The command; `None` if there is none.
    pub command: Option<Measure>,
    /// The reason.
    pub reason: String,
}

/// All necessary steps. If there are none, the old database can be put back without loss.
pub(crate) struct Plan {
    /// The old database, if there is one.
    pub copy: Option<PathBuf>,
    /// The steps in the order in which they must be done.
    pub steps: Vec<Step>,
}

/// Compares the configured database with the one from before the upgrade: `copy`, or `NAME.before-upgrade` beside it.
/// Changes nothing.
///
/// # Errors
/// There is no such file, it is not a database of an older release, or one of the databases fails.
pub(crate) fn check(config: &Config, monitor: &dyn Monitor, copy: Option<&Path>) -> Result<Plan> {
    let mut steps = Vec::new();
    for holder in lock_dir::locks(config)?.list()? {
        steps.push(step(When::Before, None, format!("Wait until it has ended, or end it: {holder}")));
    }
    let copy = match meta::since_upgrade(&config.meta.engine, copy)? {
        GoingBack::NoCopies => {
            monitor.info(
                "The upgrade keeps no copy of a database on PostgreSQL. 2.13 can use the upgraded tables, \
                 except for its rekey.",
            );
            None
        }
        GoingBack::NotUpgraded => {
            monitor.info("The database is still that of an older release: no steps are needed to go back.");
            None
        }
        GoingBack::CopyMissing(copy) => {
            return Err(Error::refused(format!(
                "There is no database from before the upgrade at {}. Name the file if it is elsewhere. \
                 Without it, 2.13 can use the upgraded database, except for its rekey.",
                copy.display()
            )));
        }
        GoingBack::To { copy, since } => {
            before(&since, &mut steps);
            after(since, &mut steps);
            Some(copy)
        }
    };
    if config.hash_function == HashFunction::Blake3 {
        let reason = "2.13 does not know hash_function blake3: it can neither verify nor restore what was stored with it";
        steps.push(step(When::Lost, None, reason));
    }
    Ok(Plan { copy, steps })
}

/// Steps with this program: save what 2.13 would lack.
fn before(since: &Since, steps: &mut Vec<Step>) {
    if since.rekeyed {
        steps.push(step(
            When::Before,
            Some(Measure::Rekey),
            "The keys were changed by rekey since then. Put the old key into the configuration before this \
             command: the old database needs it",
        ));
    }
    for LoneVersion { uid, name, .. } in &since.made {
        let reason =
            format!("This version of {name} was made since then, and the old database does not know it");
        steps.push(step(When::Before, Some(Measure::Export(uid.clone())), reason));
    }
}

/// Steps with 2.13. Versions whose data is gone come first, so that no backup takes this data for stored.
fn after(since: Since, steps: &mut Vec<Step>) {
    for LoneVersion { uid, name, protected, gone } in &since.removed {
        if *protected {
            let reason = "It was protected at that time";
            steps.push(step(When::After, Some(Measure::Unprotect(uid.clone())), reason));
        }
        let data = match gone {
            0 => "its data is still there".to_owned(),
            gone => format!("{gone} of its blobs are deleted, and a backup would treat them as stored"),
        };
        let reason = format!("This version of {name} was removed since then; {data}");
        steps.push(step(When::After, Some(Measure::Remove(uid.clone())), reason));
    }
    for LoneVersion { uid, .. } in &since.made {
        let reason = "Do this before any cleanup, which would delete its data. Dumps do not contain tags";
        steps.push(step(When::After, Some(Measure::Import(uid.clone())), reason));
    }
    for uid in &since.damaged {
        let reason = "Damage was found in it since then, and the old database does not know that";
        steps.push(step(When::After, Some(Measure::Scrub(uid.clone())), reason));
    }
}

fn step(when: When, command: Option<Measure>, reason: impl Into<String>) -> Step {
    Step { when, command, reason: reason.into() }
}

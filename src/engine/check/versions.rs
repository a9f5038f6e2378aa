//! The versions: how many are valid, and what is wrong with the others.

use super::Check;
use super::finding::{Finding, Kind};
use crate::meta::VersionFilter;
use crate::types::error::Result;
use crate::types::remedy::Remedy;
use crate::types::text::plural;
use crate::types::version::Version;

/// Counts the versions, and names those that are not valid.
pub(super) fn versions(check: &mut Check<'_, '_>) -> Result<Finding> {
    let rows = check.rows.take();
    let site = check.site()?;
    let listed = site.meta.versions(&VersionFilter::default())?.versions;
    let held = site.locks.held()?;
    let (mut bad, mut incomplete, mut in_work) = (Kind::default(), Kind::default(), 0);
    for version in listed.iter().filter(|version| !version.valid) {
        let is_held = held.iter().any(|holder| holder.exclusive && version.uid == *holder.name);
        let known = rows.as_ref().map(|rows| rows.get(&version.key).copied().unwrap_or_default());
        let complete = match known {
            Some(number) => number >= version.size,
            None => site.meta.missing(version)?.is_empty(),
        };
        match (is_held, complete) {
            (true, _) => in_work += 1,
            // All rows are there, but the backup ended before it could say so: it leaves no statistics.
            (false, true) if site.meta.runs_of(&[&version.uid])?.is_empty() => {
                incomplete.add(|| named(version, "its backup did not end"));
            }
            (false, true) => bad.add(|| named(version, "some of its data is bad")),
            (false, false) => incomplete.add(|| named(version, "it is incomplete")),
        }
    }
    let mut text = plural(listed.len() as u64, "version", "versions");
    for (number, one, several) in [
        (in_work, "is being written or removed", "are being written or removed"),
        (bad.count, "is invalid", "are invalid"),
        (incomplete.count, "is incomplete", "are incomplete"),
    ] {
        if number > 0 {
            text += &format!(", {}", plural(number, one, several));
        }
    }
    let (is_bad, is_incomplete) = (bad.count > 0, incomplete.count > 0);
    let mut details = bad.lines("invalid versions");
    details.extend(incomplete.lines("incomplete versions"));
    let finding = match (is_bad, is_incomplete) {
        (true, _) => Finding::wrong(text).advise(
            "`backy2 scrub` of an invalid version makes it valid if all its data is good again, a restore leaves out \
             only the bad blocks, and `backy2 rm` removes it",
        ),
        (false, true) => Finding::warning(text),
        (false, false) => return Ok(Finding::good(text)),
    };
    let finding = finding.details(details);
    Ok(if is_incomplete { finding.remedy(Remedy::ContinueVersion) } else { finding })
}

fn named(version: &Version, what: &str) -> String {
    format!("version {} of {:?} from {}: {what}", version.uid, version.name, version.date)
}

//! The copies of the metadata in the store, from which a lost database can be made anew.

use super::finding::{Finding, Kind};
use super::{Check, WriteMetadata};
use crate::config::StoreConfig;
use crate::engine::copies::{Audit, Copies, Written};
use crate::engine::site::Use;
use crate::engine::{Access, Site};
use crate::types::error::{Error, Result};
use crate::types::remedy::Remedy;
use crate::types::text::plural;
use crate::types::version::Version;

/// Compares the names of the copies with the database. Before that, it writes those that are missing, if it is asked to.
pub(super) fn copies(check: &mut Check<'_, '_>, write: WriteMetadata) -> Result<Finding> {
    if let StoreConfig::Null = check.config.data.store {
        return Ok(Finding::not_checked("a store of type null keeps no copies"));
    }
    if !check.config.data.metadata_copies {
        let text = "metadata_copies is 0 in [DataBackend]: a lost database could not be made anew from the data store";
        return Ok(match write {
            WriteMetadata::No => Finding::warning(text),
            WriteMetadata::Yes => Finding::wrong(format!("no copies are written: {text}")),
        });
    }
    let written = match write {
        WriteMetadata::No => None,
        WriteMetadata::Yes if !check.fits.all() => {
            let text = "copies are written only with the right settings (see above)";
            return Ok(Finding::not_checked(text));
        }
        WriteMetadata::Yes => match self::write(check)? {
            Some(written) => Some(written),
            None => {
                return Ok(Finding::wrong("no copies can be written: the key of the store cannot be used"));
            }
        },
    };
    check.begin("comparing the copies of the metadata");
    let (site, store) = check.both()?;
    if site.meta.last_due()?.is_none() {
        return Ok(Finding::not_checked(
            "the schema of the database has no tables for copies yet (see above)",
        ));
    }
    let audit = Audit::new(site, store)?;
    let known = site.meta.last_blob()?;
    if audit.unknown.lists.iter().any(|list| list.last_blob() > Some(known)) && check.fits.all() {
        // Commands that write refuse this store, unless another store has left these lists there.
        let (site, store) = check.both()?;
        if let Err(error @ Error::WrongStore { .. }) = Copies::open(site, store) {
            return Ok(Finding::of_error(&error));
        }
    }
    Ok(result(&audit, written))
}

/// Writes the copies. `None` if the key of the store cannot be used.
fn write(check: &mut Check<'_, '_>) -> Result<Option<Written>> {
    // The connection so far only reads.
    check.site = None;
    let mut site = Site::open(check.config, check.monitor, Access::Write)?;
    let store = site.open_store(Use::Write)?;
    let written = match Copies::open(&mut site, &*store)? {
        Some(copies) => {
            let audit = Audit::new(&mut site, &*store)?;
            Some(copies.complete(&mut site, &audit)?)
        }
        None => None,
    };
    (check.site, check.store) = (Some(site), Some(store));
    Ok(written)
}

/// The things that an audit has found, by kind.
#[derive(Default)]
struct Kinds {
    lost: Kind,
    due: Kind,
    nameless: Kind,
    unknown: Kind,
}

impl Kinds {
    fn new(audit: &Audit) -> Self {
        let mut kinds = Kinds::default();
        for version in &audit.lost_versions {
            kinds.lost.add(|| format!("{} has no copy", named(version)));
        }
        for list in &audit.lost_lists {
            kinds.lost.add(|| format!("index/{}, a list of {} blobs, is missing", list.name, list.live));
        }
        for copy in &audit.due {
            kinds.due.add(|| match &copy.version {
                Some(version) => format!("the copy of {} is not up to date", named(version)),
                None => format!("version {} was removed, and its copy is still there", copy.uid),
            });
        }
        for version in &audit.nameless {
            kinds.nameless.add(|| format!("{} has a uid that no copy can be named after", named(version)));
        }
        for object in audit.unknown.versions.iter().chain(&audit.unknown.lists) {
            kinds.unknown.add(|| format!("the database does not know {object}"));
        }
        kinds
    }

    /// What there is in few words, one text for each kind.
    fn parts(&self, audit: &Audit) -> Vec<String> {
        let oldest = audit.due.first().map(|oldest| oldest.uid.to_string()).unwrap_or_default();
        let several_due = format!("copies are not up to date, the oldest that of version {oldest}");
        let numbers = [
            (self.lost.count, "copy is lost", "copies are lost"),
            (self.due.count, "copy is not up to date", &several_due),
            (audit.uncovered, "blob is in no list", "blobs are in no list"),
            (self.nameless.count, "version cannot have a copy", "versions cannot have a copy"),
            (self.unknown.count, "copy is unknown to the database", "copies are unknown to the database"),
        ];
        let numbers = numbers.into_iter().filter(|(number, ..)| *number > 0);
        numbers.map(|(number, one, several)| plural(number, one, several)).collect()
    }

    fn lines(self) -> Vec<String> {
        let mut lines = self.lost.lines("lost copies");
        lines.extend(self.due.lines("copies that are not up to date"));
        lines.extend(self.nameless.lines("versions that cannot have a copy"));
        lines.extend(self.unknown.lines("unknown copies"));
        lines
    }
}

fn result(audit: &Audit, written: Option<Written>) -> Finding {
    let kinds = Kinds::new(audit);
    let parts = kinds.parts(audit);
    let mut text = plural(audit.versions, "valid version", "valid versions");
    text += &match audit.versions {
        _ if !parts.is_empty() => format!(": {}", parts.join("; ")),
        0 => ", so that no copy is needed".into(),
        _ => ", and all copies are there".into(),
    };
    if let Some(Written { blobs, versions }) = written {
        let versions = plural(versions, "version", "versions");
        text += &format!(". Now written: copies of {versions} and {}", plural(blobs, "blob", "blobs"));
    }
    let (lost, due) = (kinds.lost.count > 0, kinds.due.count + audit.uncovered > 0);
    let (nameless, unknown) = (kinds.nameless.count > 0, kinds.unknown.count > 0);
    let finding = if lost {
        Finding::wrong(text)
    } else if parts.is_empty() {
        Finding::good(text)
    } else {
        Finding::warning(text)
    };
    let mut advice = Vec::new();
    if due {
        advice.push("The next backup or cleanup brings copies up to date");
    }
    if nameless {
        advice
            .push("A rebuild cannot bring back a version without a copy: `backy2 export` keeps its metadata");
    }
    if unknown {
        advice.push(
            "Unknown copies belong to another state of the database: was an older copy of it put back?",
        );
    }
    let mut finding = finding.details(kinds.lines()).advise(advice.join(". "));
    if lost || due {
        finding = finding.remedy(Remedy::WriteCopies);
    }
    if unknown { finding.remedy(Remedy::DeleteForeignCopies) } else { finding }
}

fn named(version: &Version) -> String {
    format!("version {} of {:?} from {}", version.uid, version.name, version.date)
}

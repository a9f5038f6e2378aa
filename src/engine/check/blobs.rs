//! Compares the blobs in the store with those of the database, without reading them.

use super::finding::{Finding, Kind};
use super::{Check, NAMED};
use crate::config::StoreConfig;
use crate::engine::Site;
use crate::engine::cleanup::GRACE;
use crate::engine::store_parts::{Part, Stored};
use crate::flow::reuse::{flaw, flaw_of_read, is_possible};
use crate::meta::NamedBlob;
use crate::monitor::{Activity, Progress};
use crate::store::{BlobStore, Presence};
use crate::types::error::Result;
use crate::types::remedy::Remedy;
use crate::types::text::plural;
use crate::types::uid::{BlobUid, VersionUid};
use std::collections::BTreeSet;

/// Rows read from the database at once.
const ROWS: usize = 10_000;
/// Number of blobs that are looked up once more before they count, in a store where this costs a request.
const LOOKED_UP: u64 = 1000;

/// The result so far.
#[derive(Default)]
struct Tally {
    /// Blobs in the store.
    stored: u64,
    /// Rows of the database that were compared.
    rows: u64,
    /// Blobs that a version needs and that are not there.
    missing: Kind,
    /// Blobs with a size that is impossible for their block.
    impossible: Kind,
    /// Blobs that nothing names.
    unknown: Kind,
    /// Bytes of these.
    unknown_bytes: u64,
    /// Versions that need a blob that is missing or has an impossible size.
    versions: BTreeSet<VersionUid>,
    /// Blobs with names that a listing does not show, and that were not looked up.
    not_looked_up: u64,
    /// Blobs that were looked up in a store where this costs a request.
    looked_up: u64,
    /// The last blob that counted as bad. Several rows may name it.
    last: Option<BlobUid>,
}

/// Compares the store with the database.
pub(super) fn compare(check: &mut Check<'_, '_>) -> Result<Finding> {
    if let StoreConfig::Null = check.config.data.store {
        return Ok(Finding::not_checked("a store of type null has no blobs"));
    }
    // A running backup stores blobs before it names them.
    let young = check.began.unix() - GRACE;
    let total = check.site()?.meta.blob_count()?.blocks;
    let mut unfinished = Vec::new();
    let (site, store) = check.both()?;
    let mut compared = Comparison { site, store, young, total, tally: Tally::default() };
    for part in Part::all(total) {
        part.list(store, &mut unfinished, &mut |part, stored| compared.part(part, stored))?;
    }
    let tally = compared.tally;
    if tally.missing.count > 0 {
        // If the store is gone, nothing is missing.
        store.check()?;
    }
    check.unfinished = unfinished;
    Ok(result(tally))
}

struct Comparison<'c, 's> {
    site: &'c mut Site<'s>,
    store: &'c dyn BlobStore,
    /// Blobs stored later, in seconds since 1970, may belong to a running backup.
    young: i64,
    /// The number of rows.
    total: u64,
    tally: Tally,
}

impl Comparison<'_, '_> {
    /// Compares one part. `stored` is sorted.
    fn part(&mut self, part: &Part, stored: &[Stored]) -> Result<()> {
        self.tally.stored += stored.len() as u64;
        let mut rest = stored;
        let mut strangers: Vec<&Stored> = Vec::new();
        let mut found: Option<&Stored> = None;
        let mut after: Option<NamedBlob> = None;
        loop {
            self.site.monitor.check()?;
            let rows = self.site.meta.blobs_by_uid(after.as_ref(), &part.from, part.to.as_deref(), ROWS)?;
            let full = rows.len() == ROWS;
            for row in &rows {
                let (before, from) = rest.split_at(rest.partition_point(|next| next.uid < row.uid));
                strangers.extend(before);
                rest = from;
                if let Some((first, behind)) = rest.split_first().filter(|(first, _)| first.uid == row.uid) {
                    found = Some(first);
                    rest = behind;
                }
                self.row(row, found.filter(|found| found.uid == row.uid))?;
            }
            self.tally.rows += rows.len() as u64;
            self.progress();
            after = rows.into_iter().next_back();
            if !full {
                break;
            }
        }
        strangers.extend(rest);
        self.strangers(&strangers)
    }

    fn progress(&self) {
        let activity = Activity::Check { step: "comparing the blobs" };
        self.site.monitor.progress(&Progress::new(
            activity,
            self.tally.rows,
            self.total.max(self.tally.rows),
            0,
        ));
    }

    /// Compares the row of a blob with the blob in the listing.
    fn row(&mut self, row: &NamedBlob, found: Option<&Stored>) -> Result<()> {
        if !row.in_use || self.tally.last.as_ref() == Some(&row.uid) {
            return Ok(());
        }
        let size = u64::try_from(row.size).unwrap_or_default();
        let fits = |bytes: u64| is_possible(row.enc_version, bytes, size);
        if found.is_some_and(|found| found.bytes.is_none_or(fits)) {
            return Ok(());
        }
        let hidden = !BlobUid::is_one(row.uid.as_str());
        if self.tally.looked_up >= LOOKED_UP {
            // Very many are wrong already. Names that a listing does not show say nothing.
            if hidden {
                self.tally.not_looked_up += 1;
                return Ok(());
            }
        } else {
            // The listing is older than the row.
            let look = if self.store.tells_presence() { flaw } else { flaw_of_read };
            self.tally.looked_up += u64::from(!self.store.tells_presence());
            if look(self.store, &row.uid, 0, size, row.enc_version)?.is_none() {
                return Ok(());
            }
        }
        if !self.site.meta.unnamed(std::slice::from_ref(&row.uid))?.is_empty() {
            // The version was removed in the meantime.
            return Ok(());
        }
        self.bad(row, found)
    }

    /// Counts a blob as bad.
    fn bad(&mut self, row: &NamedBlob, found: Option<&Stored>) -> Result<()> {
        let tally = &mut self.tally;
        tally.last = Some(row.uid.clone());
        let bytes = match found {
            Some(found) => found.bytes,
            None => match self.store.presence(&row.uid)? {
                Presence::Bytes(bytes) => Some(bytes),
                Presence::Missing | Presence::Unknown => None,
            },
        };
        let kind = if bytes.is_some() { &mut tally.impossible } else { &mut tally.missing };
        if !kind.names_next() {
            kind.add_unnamed(1);
            return Ok(());
        }
        let versions = self.site.meta.versions_naming(&row.uid, NAMED + 1)?;
        let uid = &row.uid;
        kind.add(|| match bytes {
            Some(bytes) => {
                format!(
                    "blob {uid} has {bytes} bytes, which is impossible for a block of {}; {}",
                    row.size,
                    needed_by(&versions)
                )
            }
            None => format!("blob {uid} is missing; {}", needed_by(&versions)),
        });
        tally.versions.extend(versions);
        Ok(())
    }

    /// Counts those blobs of the listing that nothing names.
    fn strangers(&mut self, strangers: &[&Stored]) -> Result<()> {
        let old = |stranger: &&&Stored| stranger.stored.is_none_or(|stored| stored < self.young);
        let old: Vec<&&Stored> = strangers.iter().filter(old).collect();
        for some in old.chunks(ROWS) {
            self.site.monitor.check()?;
            let uids: Vec<BlobUid> = some.iter().map(|stranger| stranger.uid.clone()).collect();
            // A backup may have named some since the rows were read, and a cleanup may be deleting others.
            let unknown: BTreeSet<BlobUid> = self.site.meta.unknown_to_all(&uids)?.into_iter().collect();
            for stranger in some.iter().filter(|stranger| unknown.contains(&stranger.uid)) {
                if self.tally.unknown.count < LOOKED_UP && !is_listed(self.store, &stranger.uid)? {
                    continue;
                }
                self.tally.unknown.add(|| match stranger.bytes {
                    Some(bytes) => format!("blob {} ({bytes} bytes) is named by nothing", stranger.uid),
                    None => format!("blob {} is named by nothing", stranger.uid),
                });
                self.tally.unknown_bytes += stranger.bytes.unwrap_or_default();
            }
        }
        Ok(())
    }
}

/// Whether the store has the blob now, for stores in which other questions would read it.
fn is_listed(store: &dyn BlobStore, uid: &BlobUid) -> Result<bool> {
    let mut listed = false;
    store.survey(uid.as_str(), &mut |_| {
        listed = true;
        Ok(())
    })?;
    Ok(listed)
}

/// The versions that need a blob, of which at most one more than [`NAMED`] are given.
pub(super) fn needed_by(versions: &[VersionUid]) -> String {
    let named: Vec<&str> = versions.iter().take(NAMED).map(VersionUid::as_str).collect();
    let more = if versions.len() > NAMED { " and others" } else { "" };
    match named.len() {
        1 => format!("version {} needs it", named[0]),
        _ => format!("versions {}{more} need it", named.join(", ")),
    }
}

/// Advice for versions with bad blobs.
pub(super) const SCRUB: &str = "`backy2 scrub` of these versions marks the bad blobs, and later backups store their data \
                                again. If the store itself has lost data, restore it from a copy first";

fn result(tally: Tally) -> Finding {
    let Tally { stored, missing, impossible, unknown, unknown_bytes, not_looked_up, .. } = tally;
    let blobs = plural(stored, "blob", "blobs");
    let mut parts = Vec::new();
    for (kind, one, several) in [
        (&missing, "blob is missing", "blobs are missing"),
        (&impossible, "blob has an impossible size", "blobs have an impossible size"),
        (&unknown, "blob is named by nothing", "blobs are named by nothing"),
    ] {
        if kind.count > 0 {
            parts.push(plural(kind.count, one, several));
        }
    }
    if not_looked_up > 0 {
        parts.push(format!(
            "{} with foreign names could not be looked up",
            plural(not_looked_up, "blob", "blobs")
        ));
    }
    let is_bad = missing.count + impossible.count > 0;
    let strange = unknown.count > 0;
    if parts.is_empty() {
        return Finding::good(format!("{blobs} in the store, and none is missing"));
    }
    let text = format!("{blobs} in the store: {}", parts.join(", "));
    let mut details = missing.lines("missing blobs");
    details.extend(impossible.lines("blobs with an impossible size"));
    details.extend(unknown.lines("blobs that nothing names"));
    let finding = if is_bad { Finding::wrong(text).advise(SCRUB) } else { Finding::warning(text) };
    let finding = finding.details(details);
    if strange { finding.remedy(Remedy::DeleteUnknown(unknown_bytes)) } else { finding }
}

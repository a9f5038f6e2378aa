//! Reads and verifies the data of some blobs.

use super::blobs::{SCRUB, needed_by};
use super::finding::{Finding, Kind};
use super::{Check, NAMED};
use crate::config::StoreConfig;
use crate::engine::site;
use crate::flow::fetch::Plain;
use crate::flow::spot::{self, Examined};
use crate::meta::Metadata;
use crate::monitor::{Activity, Monitor, Progress};
use crate::types::block::Blob;
use crate::types::error::Result;
use crate::types::keys::BlobId;
use crate::types::text::plural;
use std::collections::VecDeque;

/// Rows read from the database at once.
const ROWS: usize = 1000;

/// Reads about `percent` percent of the blobs, chosen at random.
pub(super) fn read(check: &mut Check<'_, '_>, percent: u8) -> Result<Finding> {
    let config = check.config;
    if let StoreConfig::Null = config.data.store {
        return Ok(Finding::not_checked("a store of type null has no blobs"));
    }
    if !check.fits.key || !check.fits.hash_function {
        return Ok(Finding::not_checked("with a wrong setting all data looks damaged (see above)"));
    }
    let block_size = config.block_size as usize;
    let (site, store) = check.both()?;
    let total = site.meta.blob_count()?.blocks * u64::from(percent) / 100;
    // Copies that are due may be those of versions without encryption that nothing has recorded yet.
    let none_is_due = site.meta.last_due()?.is_some() && site.meta.due_copies(0, 1)?.is_empty();
    let mut fetch = site::fetch(config, store, &site.keys, site.hasher);
    fetch.plain = if none_is_due { site.plain } else { Plain::Accepted };
    let mut reading = Reading {
        choice: Choice { percent, after: BlobId(0), next: VecDeque::new(), ended: false },
        monitor: site.monitor,
        total,
        done: 0,
        bytes: 0,
        bad: Kind::default(),
    };
    spot::examine(&fetch, site.monitor, block_size, &mut site.meta, &mut reading)?;
    let Reading { done, bad, .. } = reading;
    let blobs = plural(done, "blob", "blobs");
    Ok(match bad.count {
        0 => Finding::good(format!("{blobs} were read, and all are good")),
        number => {
            Finding::wrong(format!("{blobs} were read: {}", plural(number, "blob is bad", "blobs are bad")))
                .details(bad.lines("bad blobs"))
                .advise(SCRUB)
        }
    })
}

/// Chooses blobs at random.
struct Choice {
    /// The chance of each blob.
    percent: u8,
    /// The row of the last blob that was read from the database.
    after: BlobId,
    next: VecDeque<Blob>,
    ended: bool,
}

impl Choice {
    fn next(&mut self, meta: &mut Metadata) -> Result<Option<Blob>> {
        while self.next.is_empty() && !self.ended {
            let rows = meta.blobs_in_use(self.after, ROWS)?;
            self.ended = rows.len() < ROWS;
            self.after = rows.last().map_or(self.after, |last| last.id);
            self.next.extend(rows.into_iter().filter(|_| fastrand::u8(0..100) < self.percent));
        }
        Ok(self.next.pop_front())
    }
}

struct Reading<'a> {
    choice: Choice,
    monitor: &'a dyn Monitor,
    /// The expected number of blobs.
    total: u64,
    done: u64,
    bytes: u64,
    bad: Kind,
}

impl spot::Examiner for Reading<'_> {
    fn next(&mut self, meta: &mut Metadata) -> Result<Option<Blob>> {
        self.choice.next(meta)
    }

    fn done(&mut self, meta: &mut Metadata, examined: Examined) -> Result<()> {
        self.done += 1;
        self.bytes += u64::try_from(examined.blob.size).unwrap_or_default();
        let activity = Activity::Check { step: "reading blobs" };
        self.monitor.progress(&Progress::new(activity, self.done, self.total.max(self.done), self.bytes));
        let Some(damage) = examined.damage else { return Ok(()) };
        let uid = &examined.blob.uid;
        if !meta.unnamed(std::slice::from_ref(uid))?.is_empty() {
            // The version was removed in the meantime.
            return Ok(());
        }
        if !self.bad.names_next() {
            self.bad.add_unnamed(1);
            return Ok(());
        }
        let versions = meta.versions_naming(uid, NAMED + 1)?;
        self.bad.add(|| format!("blob {uid}: {damage}; {}", needed_by(&versions)));
        Ok(())
    }
}

//! Writes a version to a target.

use super::damage::Casualties;
use super::row_check::{Completeness, RowCheck};
use super::site::Key;
use super::{Site, Use, copies, site, verified};
use crate::flow::fetch::Damage;
use crate::flow::walk::{Agreement, Observer, Report, Route, Sink, Walk};
use crate::io::{self, Existing, Target, Zeroing};
use crate::meta::{Metadata, Rows, VerifiedBy};
use crate::monitor::{Activity, Monitor, Progress};
use crate::types::block::{BlockRow, Geometry};
use crate::types::error::Result;
use crate::types::remedy::Continuation;
use crate::types::version::Version;
use std::collections::BTreeSet;
use std::ops::Range;

/// Options of a restore.
#[derive(Clone, Debug)]
pub struct Options<'o> {
    /// Uid of the version.
    pub version: &'o str,
    /// URL of the target.
    pub target: &'o str,
    /// Do not write zeros for sparse blocks.
    pub sparse: bool,
    /// Overwrite an existing target.
    pub force: bool,
    /// Continue an interrupted restore at this block.
    pub continue_from: Option<u64>,
}

/// The result of a restore.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Ranges of the image, in bytes, whose data is bad or was never stored.
    pub bad: Vec<Range<u64>>,
    /// Whether the version was valid when the restore began.
    pub was_valid: bool,
    /// Whether the rows or the size in the database are wrong, so that the data may be that of another version.
    pub rows_differ: bool,
}

/// Restores a version.
///
/// # Errors
/// Before any write: unknown or locked version, wrong settings, a refused target. Later: failure of the target, of the
/// database, or of the store as a whole. Bad blobs are not errors: see [`Restored::bad`].
pub fn run(site: &mut Site<'_>, options: &Options<'_>) -> Result<Restored> {
    let (version, _pin) = site.pin(options.version)?;
    let store = site.open_store(Use::Read)?;
    site.probe(&*store, Some(&version), Key::Needed)?;
    let mut rows = RowCheck::new(site, &*store, &version)?;
    let version = with_true_size(version, &rows, site.config.block_size);
    let geometry = Geometry::new(version.size_bytes, site.config.block_size);
    // A block number beyond the end means that all blocks are done.
    let from = options.continue_from.unwrap_or(0).min(version.size);
    let existing =
        if options.force || options.continue_from.is_some() { Existing::Accept } else { Existing::Refuse };
    let config = site.config;
    let target = io::open_target(options.target, &config.io, version.size_bytes, existing)?;
    if !version.valid {
        site.monitor.warning(&format!("Version {} is invalid: some of its data may be bad.", version.uid));
    }
    if version.size_bytes == 0 {
        site.monitor.warning(&format!(
            "Version {} is empty (0 bytes): nothing is written, and what {} has stays.",
            version.uid, options.target
        ));
    }
    let mut casualties = Casualties::new(site.monitor, site.meta.is_writable());
    let can_continue = |from: u64| {
        let (version, target) = (version.uid.clone(), options.target.to_owned());
        let (sparse, force) = (options.sparse, options.force);
        site.monitor.can_continue(&Continuation::Restore { version, target, from, sparse, force });
    };
    let restore = Restore { version: &version, geometry, target: &*target, options, from };
    let completeness = restore.zero_sparse(site, &mut casualties).inspect_err(|_| can_continue(from))?;
    rows.add_before(site, &version, from)?;
    let mut fetch = site::fetch(config, &*store, &site.keys, site.hasher);
    fetch.plain = rows.plain();
    let deliveries = site.parallel(options.target)?.writes;
    let walk = Walk { fetch: &fetch, geometry, monitor: site.monitor, deliveries };
    let route = Route { from, rows: Rows::Stored, percentile: 100 };
    let sink = Writer { target: &*target, geometry };
    let mut observer = RestoreObserver {
        monitor: site.monitor,
        geometry,
        target: options.target,
        total: version.size.saturating_sub(from),
        done: 0,
        bytes: 0,
        under_way: BTreeSet::new(),
        last_started: None,
        rows,
        casualties,
    };
    if version.size > from {
        observer.progress();
    }
    walk.run(&mut site.meta, &version, route, &sink, &mut observer)
        .and_then(|()| target.flush())
        .inspect_err(|_| can_continue(observer.last_id().unwrap_or(from)))?;
    let rows_differ = !observer.rows.conclude(site, completeness);
    copies::follow(site);
    if version.valid && from == 0 && !rows_differ && observer.casualties.is_empty() {
        verified::record(site, &version, VerifiedBy::Restore, 100);
    }
    Ok(Restored { bad: observer.casualties.ranges(geometry), was_valid: version.valid, rows_differ })
}

/// The version with the size that was sealed. If nothing was sealed, its bytes decide.
fn with_true_size(version: Version, rows: &RowCheck, block_size: u32) -> Version {
    let by_bytes = (Geometry::new(version.size_bytes, block_size).blocks(), version.size_bytes);
    let (size, size_bytes) = rows.sealed_size().unwrap_or(by_bytes);
    Version { size, size_bytes, ..version }
}

/// Bytes zeroed in one call. Between the calls, progress is shown and signals are checked.
const PIECE: u64 = 64 << 20;

/// A restore in progress.
struct Restore<'r> {
    version: &'r Version,
    geometry: Geometry,
    target: &'r dyn Target,
    options: &'r Options<'r>,
    /// The first block to restore.
    from: u64,
}

impl Restore<'_> {
    /// Phase 1: zeroes blocks that are sparse or were never stored, so that the target does not show old data there. Returns
    /// whether all blocks were stored.
    fn zero_sparse(&self, site: &mut Site<'_>, casualties: &mut Casualties<'_>) -> Result<Completeness> {
        let sparse = site.meta.sparse_ranges(self.version, self.from)?;
        let missing = site.meta.missing(self.version)?;
        let completeness = if missing.is_empty() { Completeness::Complete } else { Completeness::Incomplete };
        let missing = missing.subtract(&(0..self.from).into());
        for range in missing.ranges() {
            site.monitor.error(&format!(
                "Blocks {} to {} were never stored: the version is incomplete.",
                range.start,
                range.end - 1
            ));
            casualties.add(range.clone());
        }
        let total = sparse.count() + missing.count();
        let (mut done, mut bytes, mut shows_old) = (0, 0, false);
        let activity = Activity::RestoreSparse { target: self.options.target };
        let progress = |done, bytes| site.monitor.progress(&Progress::new(activity, done, total, bytes));
        if self.version.size > self.from {
            progress(0, 0);
        }
        for range in sparse.ranges().iter().chain(missing.ranges()) {
            shows_old |= !self.zero(site.monitor, range)?;
            bytes += self.geometry.bytes(range);
            done += range.end - range.start;
            progress(done, bytes);
        }
        if shows_old {
            site.monitor.warning(&format!(
                "{}: sparse ranges were skipped and could not be zeroed cheaply. Where the image has no data, \
                 old data of the target remains! A restore that is not sparse writes zeros there.",
                self.options.target
            ));
        }
        Ok(completeness)
    }

    /// Zeroes blocks, piece by piece. Returns whether they are zeros now: a sparse restore may skip them.
    fn zero(&self, monitor: &dyn Monitor, blocks: &Range<u64>) -> Result<bool> {
        let zeroing = if self.options.sparse { Zeroing::IfCheap } else { Zeroing::Always };
        let mut is_zero = true;
        let mut start = self.geometry.offset(blocks.start);
        let end = start + self.geometry.bytes(blocks);
        while start < end {
            monitor.check()?;
            let piece = start..end.min(start + PIECE);
            start = piece.end;
            is_zero &= self.target.zero(piece, zeroing)?;
        }
        Ok(is_zero)
    }
}

/// The sink of phase 2: writes blocks to the target.
struct Writer<'a> {
    target: &'a dyn Target,
    geometry: Geometry,
}

impl Sink for Writer<'_> {
    fn accept(&self, id: u64, data: Option<&[u8]>, _: Option<&Damage>, _: &mut Vec<u8>) -> Result<Agreement> {
        if let Some(data) = data {
            self.target.write_at(self.geometry.offset(id), data)?;
        }
        Ok(Agreement::Same)
    }
}

/// Watches phase 2: shows the progress, and collects bad blocks.
struct RestoreObserver<'a> {
    monitor: &'a dyn Monitor,
    geometry: Geometry,
    target: &'a str,
    total: u64,
    done: u64,
    bytes: u64,
    under_way: BTreeSet<u64>,
    last_started: Option<u64>,
    rows: RowCheck,
    casualties: Casualties<'a>,
}

impl RestoreObserver<'_> {
    /// The highest block up to which everything is written. Phase 1 has written the sparse blocks.
    fn last_id(&self) -> Option<u64> {
        match self.under_way.first() {
            Some(first) => first.checked_sub(1),
            None => self.last_started,
        }
        .filter(|_| self.done > 0)
    }

    fn progress(&self) {
        let progress = Progress::new(
            Activity::RestoreData { target: self.target, last_id: self.last_id() },
            self.done,
            self.total,
            self.bytes,
        );
        self.monitor.progress(&progress);
    }
}

impl Observer for RestoreObserver<'_> {
    fn read(&mut self, row: &BlockRow) {
        self.rows.add(row);
    }

    fn started(&mut self, id: u64) {
        self.under_way.insert(id);
        self.last_started = Some(id);
    }

    fn done(&mut self, meta: &mut Metadata, report: Report) -> Result<()> {
        self.under_way.remove(&report.id);
        self.done += 1;
        self.bytes += self.geometry.length(report.id) as u64;
        if let (Some(blob), Some(damage)) = (&report.blob, &report.damage) {
            self.casualties.blob(meta, report.id, blob, damage)?;
        }
        self.progress();
        Ok(())
    }
}

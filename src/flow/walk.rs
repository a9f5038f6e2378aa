//! The way of data out: rows, readers that fetch and verify, and a sink.
//!
//! Restore, scrub and whatever else reads a version differ in the sink only. The calling thread owns the
//! database connection: it hands out rows in batches, holding no read transaction across them, and gets a
//! report for each.

use super::fetch::{Damage, Fetch, Fetcher};
use crate::meta::{MetaStore, Rows};
use crate::monitor::Monitor;
use crate::pool::{Latch, cores};
use crate::types::block::{Blob, BlockRow, Geometry};
use crate::types::error::Result;
use crate::types::version::Version;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::VecDeque;

/// Where the blocks go. Called by several threads at the same time.
pub trait Sink: Sync {
    /// Takes block `id`: its data, or `None` for a sparse block. With `damage` the data is what could be
    /// had. `scratch` is memory of the calling thread that it may use. Returns whether the block differs from
    /// what the sink expected, if it expected anything.
    ///
    /// # Errors
    /// End the walk.
    fn accept(
        &self,
        id: u64,
        data: Option<&[u8]>,
        damage: Option<&Damage>,
        scratch: &mut Vec<u8>,
    ) -> Result<Agreement>;
}

/// What a sink thinks of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// It is as expected, or nothing was expected.
    Same,
    /// It differs.
    Differs,
}

/// What became of a block.
#[derive(Clone, Debug)]
pub struct Report {
    /// Block.
    pub id: u64,
    /// Its blob, unless it is sparse.
    pub blob: Option<Blob>,
    /// What is wrong with the blob.
    pub damage: Option<Damage>,
    /// What the sink said.
    pub agreement: Agreement,
}

/// Which blocks to visit.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// First block.
    pub from: u64,
    /// With or without sparse ones.
    pub rows: Rows,
    /// Each block is visited with this chance in percent.
    pub percentile: u8,
}

/// Everything that a walk needs besides the metadata.
pub struct Walk<'a> {
    /// How blobs are read.
    pub fetch: &'a Fetch<'a>,
    /// Shape of the image.
    pub geometry: Geometry,
    /// Who may stop it.
    pub monitor: &'a dyn Monitor,
}

/// Told by [`Walk::run`] of what happens, in the calling thread.
pub trait Observer {
    /// Block `id` is on its way.
    fn started(&mut self, _id: u64) {}
    /// Block `id` is left out, by chance.
    fn skipped(&mut self, _row: &BlockRow) {}
    /// A block is done.
    ///
    /// # Errors
    /// End the walk.
    fn done(&mut self, meta: &mut dyn MetaStore, report: Report) -> Result<()>;
}

/// Rows read from the database at once.
const ROWS: usize = 512;

impl Walk<'_> {
    /// Visits the blocks of `version`.
    ///
    /// # Errors
    /// The store as a whole, the sink, the database or the observer failed, or a signal came. Blocks under
    /// way are finished and reported first.
    pub fn run(
        &self,
        meta: &mut dyn MetaStore,
        version: &Version,
        route: Route,
        sink: &dyn Sink,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let latch = Latch::default();
        let threads = self.fetch.reads().max(cores());
        std::thread::scope(|scope| {
            let (tasks_in, tasks) = unbounded::<BlockRow>();
            let (reports_in, reports) = unbounded::<Option<Report>>();
            for _ in 0..threads {
                let (tasks, reports) = (tasks.clone(), reports_in.clone());
                scope.spawn(|| self.work(tasks, reports, sink, &latch));
            }
            drop((tasks, reports_in));
            let mut feeder = Feeder { version, route, rows: VecDeque::new(), next: Some(route.from) };
            // Two tasks a thread are enough to keep all busy.
            if let Err(error) =
                self.conduct(meta, &mut feeder, observer, tasks_in, &reports, threads * 2, &latch)
            {
                latch.fail(error);
            }
        });
        latch.into_result()?;
        self.monitor.check()
    }

    /// Hands out tasks and takes reports, until both have ended.
    #[allow(clippy::too_many_arguments)]
    fn conduct(
        &self,
        meta: &mut dyn MetaStore,
        feeder: &mut Feeder,
        observer: &mut dyn Observer,
        tasks: Sender<BlockRow>,
        reports: &Receiver<Option<Report>>,
        most: usize,
        latch: &Latch,
    ) -> Result<()> {
        let mut tasks = Some(tasks);
        let mut under_way = 0;
        loop {
            while under_way < most && !latch.is_closed() && self.monitor.interrupted().is_none() {
                let Some(row) = feeder.next(meta, observer)? else {
                    tasks = None;
                    break;
                };
                observer.started(row.id);
                if tasks.as_ref().is_none_or(|tasks| tasks.send(row).is_err()) {
                    return Ok(());
                }
                under_way += 1;
            }
            if latch.is_closed() || self.monitor.interrupted().is_some() {
                tasks = None;
            }
            if under_way == 0 && tasks.is_none() {
                return Ok(());
            }
            match reports.recv() {
                Ok(report) => {
                    under_way -= 1;
                    if let Some(report) = report {
                        observer.done(meta, report)?;
                    }
                }
                Err(_) => return Ok(()),
            }
        }
    }

    /// A reader thread. Every task is answered, by `None` if it was given up: who hands out the tasks waits for
    /// that, and would wait forever once all of them fail.
    fn work(
        &self,
        tasks: Receiver<BlockRow>,
        reports: Sender<Option<Report>>,
        sink: &dyn Sink,
        latch: &Latch,
    ) {
        let mut fetcher = match Fetcher::new(self.fetch) {
            Ok(fetcher) => fetcher,
            Err(error) => return latch.fail(error),
        };
        let mut scratch = Vec::new();
        for row in tasks {
            let report = match latch.is_closed() {
                true => None,
                false => self
                    .visit(row, &mut fetcher, sink, &mut scratch, latch)
                    .map_err(|error| latch.fail(error))
                    .ok(),
            };
            if reports.send(report).is_err() {
                return;
            }
        }
    }

    fn visit(
        &self,
        row: BlockRow,
        fetcher: &mut Fetcher,
        sink: &dyn Sink,
        scratch: &mut Vec<u8>,
        latch: &Latch,
    ) -> Result<Report> {
        let BlockRow { id, blob } = row;
        let length = self.geometry.length(id);
        let damage = match &blob {
            Some(blob) => {
                // A limit of bandwidth must not delay the end.
                let stop = || latch.is_closed() || self.monitor.interrupted().is_some();
                fetcher.fetch(id, blob, length, stop)?
            }
            None => None,
        };
        let data = blob.as_ref().map(|_| fetcher.data());
        let agreement = sink.accept(id, data, damage.as_ref(), scratch)?;
        Ok(Report { id, blob, damage, agreement })
    }
}

/// The rows of a version, read in batches.
struct Feeder<'a> {
    version: &'a Version,
    route: Route,
    rows: VecDeque<BlockRow>,
    next: Option<u64>,
}

impl Feeder<'_> {
    fn next(&mut self, meta: &mut dyn MetaStore, observer: &mut dyn Observer) -> Result<Option<BlockRow>> {
        loop {
            if self.rows.is_empty() {
                let Some(from) = self.next else { return Ok(None) };
                self.rows = meta.rows(self.version, from, ROWS, self.route.rows)?.into();
                self.next = self.rows.back().filter(|_| self.rows.len() == ROWS).map(|row| row.id + 1);
            }
            match self.rows.pop_front() {
                Some(row) if fastrand::u8(0..100) < self.route.percentile => return Ok(Some(row)),
                Some(row) => observer.skipped(&row),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests;

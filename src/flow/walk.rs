//! The way of data out: rows, readers that fetch, a stage that verifies, and a sink.
//!
//! Restore, scrub and the other users of a walk differ only in the sink. The calling thread owns the database
//! connection. It hands out rows in batches, without a read transaction across them, and gets a report for each row.

use super::fetch::{Damage, Fetch};
use super::rows::RowReader;
use crate::meta::{Metadata, Rows};
use crate::monitor::Monitor;
use crate::pool::threads::Crew;
use crate::pool::{BUFFERS, BufferPool, Gatherer, Latch, cores};
use crate::types::block::{Blob, BlockRow, Geometry};
use crate::types::error::Result;
use crate::types::version::Version;
use crossbeam_channel::{Receiver, Sender, unbounded};
use stages::{Delivery, Loaded, Out, Stages};

mod stages;

/// The destination of the blocks. Several threads call it at the same time.
pub(crate) trait Sink: Sync {
    /// Takes the data of block `id`, or `None` for a sparse block. With `damage` the data is wrong or zeros. `scratch`
    /// is memory of the calling thread that the sink may use. Returns whether the block differs from the one that the
    /// sink expected, if it expected any.
    ///
    /// # Errors
    /// Every error ends the walk.
    fn accept(
        &self,
        id: u64,
        data: Option<&[u8]>,
        damage: Option<&Damage>,
        scratch: &mut Vec<u8>,
    ) -> Result<Agreement>;
}

/// The verdict of a sink on a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// The block is as expected, or the sink expected nothing.
    Same,
    /// The block differs.
    Differs,
}

/// The result for a block.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// Number of the block.
    pub id: u64,
    /// Its blob, unless it is sparse.
    pub blob: Option<Blob>,
    /// The damage of the blob, if there is any.
    pub damage: Option<Damage>,
    /// The verdict of the sink.
    pub agreement: Agreement,
}

/// The blocks to visit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// First block.
    pub from: u64,
    /// With or without sparse blocks.
    pub rows: Rows,
    /// Each block is visited with this chance in percent.
    pub percentile: u8,
}

/// Everything that a walk needs besides the metadata.
pub(crate) struct Walk<'a> {
    /// Fetches the blobs.
    pub fetch: &'a Fetch<'a>,
    /// Shape of the image.
    pub geometry: Geometry,
    /// May stop the walk.
    pub monitor: &'a dyn Monitor,
    /// Number of blocks that are given to the sink at the same time, at least 1.
    pub deliveries: usize,
}

/// Receives the events of [`Walk::run`], in the calling thread.
pub(crate) trait Observer {
    /// A row was read from the database. Rows come in the order of their blocks, also those that are skipped.
    fn read(&mut self, _row: &BlockRow) {}
    /// Block `id` is on its way.
    fn started(&mut self, _id: u64) {}
    /// Block `id` is skipped by chance.
    fn skipped(&mut self, _row: &BlockRow) {}
    /// A block is done.
    ///
    /// # Errors
    /// Every error ends the walk.
    fn done(&mut self, meta: &mut Metadata, report: Report) -> Result<()>;
}

impl Walk<'_> {
    /// Visits the blocks of `version`.
    ///
    /// # Errors
    /// The store as a whole, the sink, the database or the observer failed, or a signal came. Blocks under
    /// way are finished and reported first.
    pub(crate) fn run(
        &self,
        meta: &mut Metadata,
        version: &Version,
        route: Route,
        sink: &dyn Sink,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let latch = Latch::default();
        let readers = self.fetch.reads().max(cores());
        let deliverers = self.deliveries.max(1);
        let buffers = BUFFERS.max(readers + deliverers + self.fetch.hasher.lanes());
        let stages = Stages {
            fetch: self.fetch,
            geometry: self.geometry,
            monitor: self.monitor,
            sink,
            buffers: BufferPool::new(buffers, self.geometry.block_size() as usize),
            latch: &latch,
        };
        let (loaded_in, loaded) = unbounded::<Loaded>();
        let unverified = Gatherer::new(&loaded, self.fetch.hasher.lanes());
        std::thread::scope(|scope| {
            let crew = Crew::new(scope, &latch);
            let (tasks_in, tasks) = unbounded::<BlockRow>();
            let (verified_in, verified) = unbounded::<Delivery>();
            let (reports_in, reports) = unbounded::<Option<Report>>();
            for _ in 0..readers {
                let out = Out { verified: verified_in.clone(), reports: reports_in.clone() };
                let (tasks, loaded) = (tasks.clone(), loaded_in.clone());
                crew.start(|| stages.load(tasks, loaded, out))?;
            }
            for _ in 0..cores() {
                let out = Out { verified: verified_in.clone(), reports: reports_in.clone() };
                crew.start(|| stages.verify(&unverified, out))?;
            }
            for _ in 0..deliverers {
                let (verified, reports) = (verified.clone(), reports_in.clone());
                crew.start(|| stages.deliver(verified, reports))?;
            }
            drop((tasks, loaded_in, verified_in, verified, reports_in));
            let conductor = Conductor {
                monitor: self.monitor,
                latch: &latch,
                percentile: route.percentile,
                spare: Spare::default(),
                rows: RowReader::new(version, route.from, route.rows),
                observer,
                // Enough to keep every buffer in use.
                most: buffers + readers,
            };
            let conducted = conductor.run(meta, tasks_in, &reports);
            conducted.map_err(|error| latch.fail(error)).ok()
        });
        self.fetch.tell_doubts(self.monitor);
        latch.into_result()?;
        self.monitor.check()
    }
}

/// The calling thread's part of a walk.
struct Conductor<'a> {
    monitor: &'a dyn Monitor,
    latch: &'a Latch,
    /// Each block is visited with this chance in percent.
    percentile: u8,
    spare: Spare,
    rows: RowReader<'a>,
    observer: &'a mut dyn Observer,
    /// The most blocks that may be under way.
    most: usize,
}

impl Conductor<'_> {
    /// Hands out tasks and takes reports, until both have ended.
    fn run(
        mut self,
        meta: &mut Metadata,
        tasks: Sender<BlockRow>,
        reports: &Receiver<Option<Report>>,
    ) -> Result<()> {
        let mut tasks = Some(tasks);
        let mut under_way = 0;
        loop {
            while under_way < self.most && !self.is_to_end() {
                let Some(row) = self.next_row(meta)? else {
                    tasks = None;
                    break;
                };
                self.observer.started(row.id);
                if tasks.as_ref().is_none_or(|tasks| tasks.send(row).is_err()) {
                    return Ok(());
                }
                under_way += 1;
            }
            if self.is_to_end() {
                tasks = None;
            }
            if under_way == 0 && tasks.is_none() {
                return Ok(());
            }
            match reports.recv() {
                Ok(report) => {
                    under_way -= 1;
                    if let Some(report) = report {
                        self.observer.done(meta, report)?;
                    }
                }
                Err(_) => return Ok(()),
            }
        }
    }

    fn is_to_end(&self) -> bool {
        self.latch.is_closed() || self.monitor.interrupted().is_some()
    }

    /// The row of the next block to visit.
    fn next_row(&mut self, meta: &mut Metadata) -> Result<Option<BlockRow>> {
        loop {
            let row = self.rows.next(meta)?;
            row.iter().for_each(|row| self.observer.read(row));
            match row {
                Some(row) if fastrand::u8(0..100) >= self.percentile => {
                    if let Some(skipped) = self.spare.skip(row) {
                        self.observer.skipped(&skipped);
                    }
                }
                row => {
                    let spare = self.spare.end();
                    if row.is_none() && self.percentile > 0 && spare.is_some() {
                        return Ok(spare);
                    }
                    spare.iter().for_each(|row| self.observer.skipped(row));
                    return Ok(row);
                }
            }
        }
    }
}

/// One of the skipped blocks, each with the same chance. It is visited if no other block is: a walk that should visit one
/// block in a hundred says nothing about an image of ten if it visits none.
#[derive(Debug, Default)]
struct Spare {
    /// Number of blocks that were skipped before one was visited.
    skipped: u64,
    /// Whether a block was visited, or there are no more.
    is_over: bool,
    row: Option<BlockRow>,
}

impl Spare {
    /// Takes a block that is to be skipped. Returns the one that is skipped for good.
    fn skip(&mut self, row: BlockRow) -> Option<BlockRow> {
        if self.is_over {
            return Some(row);
        }
        self.skipped += 1;
        if fastrand::u64(0..self.skipped) == 0 { self.row.replace(row) } else { Some(row) }
    }

    /// No block is needed any more. Returns the spare one.
    fn end(&mut self) -> Option<BlockRow> {
        self.is_over = true;
        self.row.take()
    }
}

#[cfg(test)]
mod tests;

//! The threads of a walk: readers, the stage that verifies, and the threads that give blocks to the sink.

use super::{Report, Sink};
use crate::flow::fetch::{Damage, Fetch, Fetcher, Verifier};
use crate::monitor::Monitor;
use crate::pool::{Buffer, BufferPool, Gatherer, Latch};
use crate::types::block::{Blob, BlockRow, Geometry};
use crate::types::error::Result;
use crossbeam_channel::{Receiver, Sender};

/// The data that all threads share.
pub(super) struct Stages<'a> {
    pub fetch: &'a Fetch<'a>,
    pub geometry: Geometry,
    pub monitor: &'a dyn Monitor,
    pub sink: &'a dyn Sink,
    pub buffers: BufferPool,
    pub latch: &'a Latch,
}

/// A block whose blob was decoded. Its checksum must still be compared.
pub(super) struct Loaded {
    id: u64,
    blob: Blob,
    data: Buffer,
}

/// A block for the sink. Without data it is sparse.
pub(super) struct Delivery {
    row: BlockRow,
    data: Option<Buffer>,
    damage: Option<Damage>,
}

/// The channels for the results of readers and verifiers. Every task ends with a report, which is `None` if the task
/// was given up. The calling thread waits for all reports, and would wait for ever if failed tasks sent none.
pub(super) struct Out {
    pub verified: Sender<Delivery>,
    pub reports: Sender<Option<Report>>,
}

impl Stages<'_> {
    /// A reader thread.
    pub(super) fn load(&self, tasks: Receiver<BlockRow>, loaded: Sender<Loaded>, out: Out) {
        let mut fetcher = match Fetcher::new(self.fetch) {
            Ok(fetcher) => fetcher,
            Err(error) => return self.latch.fail(error),
        };
        for row in tasks {
            if let Err(error) = self.load_one(row, &mut fetcher, &loaded, &out) {
                self.latch.fail(error);
                let _ = out.reports.send(None);
            }
        }
    }

    /// Sends the block to the next stage that it needs, or gives it up if the walk is ending.
    fn load_one(
        &self,
        row: BlockRow,
        fetcher: &mut Fetcher,
        loaded: &Sender<Loaded>,
        out: &Out,
    ) -> Result<()> {
        let length = self.geometry.length(row.id);
        let (id, blob) = match row.blob {
            Some(blob) => (row.id, blob),
            None => {
                let _ = out.verified.send(Delivery { row, data: None, damage: None });
                return Ok(());
            }
        };
        // A bandwidth limit must not delay the end.
        let stop = || self.latch.is_closed() || self.monitor.interrupted().is_some();
        let Some(mut data) = self.buffers.take(0, self.latch).filter(|_| !self.latch.is_closed()) else {
            let _ = out.reports.send(None);
            return Ok(());
        };
        let _ = match fetcher.load(id, &blob, length, &mut data, stop)? {
            None => loaded.send(Loaded { id, blob, data }).is_ok(),
            damage => {
                let row = BlockRow { id, blob: Some(blob) };
                out.verified.send(Delivery { row, data: Some(data), damage }).is_ok()
            }
        };
        Ok(())
    }

    /// A thread of the stage that verifies.
    pub(super) fn verify(&self, loaded: &Gatherer<Loaded>, out: Out) {
        let mut verifier = Verifier::new(self.fetch);
        let stop = || self.latch.is_closed() || self.monitor.interrupted().is_some();
        while let Some(blocks) = loaded.next() {
            let digests = self.fetch.hasher.digest_all(blocks.iter().map(|block| &block.data[..]));
            for (Loaded { id, blob, mut data }, digest) in blocks.into_iter().zip(digests) {
                match verifier.verify(id, &blob, &digest, &mut data, stop) {
                    Ok(damage) => {
                        let row = BlockRow { id, blob: Some(blob) };
                        let _ = out.verified.send(Delivery { row, data: Some(data), damage });
                    }
                    Err(error) => {
                        self.latch.fail(error);
                        let _ = out.reports.send(None);
                    }
                }
            }
        }
    }

    /// A thread that gives blocks to the sink.
    pub(super) fn deliver(&self, verified: Receiver<Delivery>, reports: Sender<Option<Report>>) {
        let mut scratch = Vec::new();
        for Delivery { row: BlockRow { id, blob }, data, damage } in verified {
            let report = if self.latch.is_closed() {
                None
            } else {
                self.sink
                    .accept(id, data.as_ref().map(|data| &data[..]), damage.as_ref(), &mut scratch)
                    .map(|agreement| Report { id, blob, damage, agreement })
                    .map_err(|error| self.latch.fail(error))
                    .ok()
            };
            if reports.send(report).is_err() {
                return;
            }
        }
    }
}

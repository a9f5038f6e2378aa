//! Reads and verifies single blobs, without regard to versions.

use super::fetch::{Damage, Fetch, Fetcher};
use crate::meta::Metadata;
use crate::monitor::Monitor;
use crate::pool::Latch;
use crate::pool::threads::Crew;
use crate::types::block::Blob;
use crate::types::error::Result;
use crossbeam_channel::{Receiver, Sender, unbounded};

/// A blob that was read.
pub(crate) struct Examined {
    /// The blob.
    pub blob: Blob,
    /// Its damage, if there is any.
    pub damage: Option<Damage>,
}

/// Chooses blobs and receives the results, in the calling thread.
pub(crate) trait Examiner {
    /// The next blob to read; `None` after the last one.
    ///
    /// # Errors
    /// Every error ends the work.
    fn next(&mut self, meta: &mut Metadata) -> Result<Option<Blob>>;

    /// A blob was read.
    ///
    /// # Errors
    /// Every error ends the work.
    fn done(&mut self, meta: &mut Metadata, examined: Examined) -> Result<()>;
}

/// Reads the blobs that `examiner` chooses, several at the same time. A block has at most `block_size` bytes.
///
/// # Errors
/// The store as a whole, the database or the examiner failed, a signal came, or there is no memory.
pub(crate) fn examine(
    fetch: &Fetch<'_>,
    monitor: &dyn Monitor,
    block_size: usize,
    meta: &mut Metadata,
    examiner: &mut dyn Examiner,
) -> Result<()> {
    let latch = Latch::default();
    let readers = fetch.reads();
    std::thread::scope(|scope| {
        let crew = Crew::new(scope, &latch);
        let (tasks_in, tasks) = unbounded::<Blob>();
        let (results_in, results) = unbounded::<Examined>();
        for _ in 0..readers {
            let (tasks, results) = (tasks.clone(), results_in.clone());
            let latch = &latch;
            crew.start(move || {
                if let Err(error) = read(fetch, monitor, block_size, &tasks, &results) {
                    latch.fail(error);
                }
            })?;
        }
        drop((tasks, results_in));
        let conducted = conduct(monitor, &latch, 2 * readers, meta, examiner, tasks_in, &results);
        conducted.map_err(|error| latch.fail(error)).ok()
    });
    fetch.tell_doubts(monitor);
    latch.into_result()?;
    monitor.check()
}

/// Hands out blobs and takes results, until both have ended. At most `most` blobs are under way.
fn conduct(
    monitor: &dyn Monitor,
    latch: &Latch,
    most: usize,
    meta: &mut Metadata,
    examiner: &mut dyn Examiner,
    tasks: Sender<Blob>,
    results: &Receiver<Examined>,
) -> Result<()> {
    let mut tasks = Some(tasks);
    let mut under_way = 0;
    loop {
        if latch.is_closed() || monitor.interrupted().is_some() {
            tasks = None;
        }
        while under_way < most
            && let Some(sender) = &tasks
        {
            let sent = examiner.next(meta)?.map(|blob| sender.send(blob));
            if let Some(Ok(())) = sent {
                under_way += 1;
            } else {
                tasks = None;
            }
        }
        if under_way == 0 {
            return Ok(());
        }
        // If no reader is left, the latch has the reason.
        let Ok(examined) = results.recv() else { return Ok(()) };
        under_way -= 1;
        examiner.done(meta, examined)?;
    }
}

/// Reads blobs until there are no more.
fn read(
    fetch: &Fetch<'_>,
    monitor: &dyn Monitor,
    block_size: usize,
    tasks: &Receiver<Blob>,
    results: &Sender<Examined>,
) -> Result<()> {
    let mut fetcher = Fetcher::new(fetch)?;
    for blob in tasks {
        // A damaged row may have any size. The comparison with the data finds that.
        let length = usize::try_from(blob.size).unwrap_or_default().min(block_size);
        let damage = fetcher.fetch(0, &blob, length, || monitor.interrupted().is_some())?;
        if results.send(Examined { blob, damage }).is_err() {
            break;
        }
    }
    Ok(())
}

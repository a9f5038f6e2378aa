//! Limited resources of a run: buffers for blocks, permits, and the latch that stops the run.

pub(crate) mod threads;

use crate::sys::memory;
use crate::types::error::{Error, Result};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// The least number of buffers of a run. It is enough for every thread to have a block in hand, while others fill the
/// lanes of the hash stage.
pub(crate) const BUFFERS: usize = 20;

/// A fixed number of buffers of one size. Block data is in these buffers only, so the memory of a run does not depend
/// on the size of the image.
///
/// The memory of a buffer is allocated when it is first needed, and the buffer returned last is used first. So a small
/// job needs little memory, and buffers that are in the processor's caches are reused.
pub(crate) struct BufferPool {
    shelf: Arc<Shelf>,
    size: usize,
}

/// The unused buffers.
struct Shelf {
    free: Mutex<Vec<Vec<u8>>>,
    came_back: Condvar,
}

impl Shelf {
    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl BufferPool {
    /// A pool of `count` buffers of `size` bytes.
    pub(crate) fn new(count: usize, size: usize) -> Self {
        // Empty vectors need no memory yet.
        let free = Mutex::new(vec![Vec::new(); count]);
        BufferPool { shelf: Arc::new(Shelf { free, came_back: Condvar::new() }), size }
    }

    /// A buffer of `length` bytes (at most the pool's size), with arbitrary content. Waits until one is free. Returns
    /// `None` if `latch` is closed before that, or if there is no memory, which closes the latch.
    pub(crate) fn take(&self, length: usize, latch: &Latch) -> Option<Buffer> {
        let mut free = self.shelf.free();
        let mut data = loop {
            if let Some(data) = free.pop() {
                break data;
            }
            if latch.is_closed() {
                return None;
            }
            let waited = self.shelf.came_back.wait_timeout(free, Duration::from_millis(100));
            free = waited.unwrap_or_else(|e| e.into_inner()).0;
        };
        drop(free);
        if data.capacity() < self.size {
            // Not `resize`: it would write zeros to memory that the system already provides as zeros.
            match memory::zeroed(self.size) {
                Ok(zeros) => data = zeros,
                Err(error) => {
                    latch.fail(error);
                    return None;
                }
            }
        }
        data.resize(length.min(self.size), 0);
        Some(Buffer { data, shelf: Arc::clone(&self.shelf) })
    }
}

/// A buffer that returns to its pool when it is dropped.
pub(crate) struct Buffer {
    data: Vec<u8>,
    shelf: Arc<Shelf>,
}

impl Deref for Buffer {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.data
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.shelf.free().push(std::mem::take(&mut self.data));
        self.shelf.came_back.notify_one();
    }
}

/// Receives several items at once from a channel, for work that is more efficient on several items.
///
/// If several threads share it, only one gathers at a time, so that each gets as many items as possible.
pub(crate) struct Gatherer<'a, T> {
    from: &'a Receiver<T>,
    most: usize,
    turn: Mutex<()>,
}

/// How long to wait for the next item after the first. If the source is slower than this, the processor has time to
/// work on few blocks at once. If it is faster, it fills the lanes.
const PATIENCE: Duration = Duration::from_millis(20);

impl<'a, T> Gatherer<'a, T> {
    /// Takes at most `most` items at a time.
    pub(crate) fn new(from: &'a Receiver<T>, most: usize) -> Self {
        Gatherer { from, most, turn: Mutex::new(()) }
    }

    /// Waits for one item, then takes further ones as long as they come quickly. `None` when all senders are gone.
    pub(crate) fn next(&self) -> Option<Vec<T>> {
        let _turn = self.turn.lock().unwrap_or_else(|e| e.into_inner());
        let mut gathered = vec![self.from.recv().ok()?];
        while gathered.len() < self.most {
            match self.from.recv_timeout(PATIENCE) {
                Ok(next) => gathered.push(next),
                Err(_) => break,
            }
        }
        Some(gathered)
    }
}

/// Limits how many threads do something at a time: `simultaneous_*` limits the requests to a store, while more threads
/// than that may be compressing.
pub(crate) struct Permits {
    free: Receiver<()>,
    back: Sender<()>,
}

impl Permits {
    /// Creates `count` permits, at least 1.
    pub(crate) fn new(count: usize) -> Self {
        let (back, free) = bounded(count.max(1));
        for _ in 0..count.max(1) {
            let _ = back.try_send(());
        }
        Permits { free, back }
    }

    /// Runs `work` while holding a permit.
    pub(crate) fn with<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Returns the permit even if the work panics.
        struct Held<'a>(&'a Sender<()>);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                let _ = self.0.try_send(());
            }
        }
        // This waits and never fails, because the sender lives as long as the receiver.
        let _ = self.free.recv();
        let _held = Held(&self.back);
        work()
    }
}

/// Stops a run: it keeps the first error, and nothing new starts after that.
#[derive(Default)]
pub(crate) struct Latch {
    closed: AtomicBool,
    first: Mutex<Option<Error>>,
}

impl Latch {
    /// Keeps `error` if it is the first one, and stops the run.
    pub(crate) fn fail(&self, error: Error) {
        let mut first = self.first.lock().unwrap_or_else(|e| e.into_inner());
        first.get_or_insert(error);
        self.closed.store(true, Ordering::Release);
    }

    /// Whether the run should end.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The first error, if there was one.
    pub(crate) fn into_result(self) -> Result<()> {
        match self.first.into_inner().unwrap_or_else(|e| e.into_inner()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// The best number of threads for computing: the cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_are_bounded() {
        let pool = BufferPool::new(2, 10);
        let latch = Latch::default();
        let first = pool.take(10, &latch).expect("free");
        let second = pool.take(3, &latch).expect("free");
        assert_eq!((first.len(), second.len()), (10, 3));
        latch.fail(Error::refused("stop"));
        assert!(pool.take(1, &latch).is_none(), "none is free and the run ends");
        drop(first);
        assert!(pool.take(1, &latch).is_some());
    }

    #[test]
    fn ready_items_are_gathered_without_a_long_wait() {
        let (sender, receiver) = bounded(10);
        let gatherer = Gatherer::new(&receiver, 3);
        (0..5).for_each(|n| sender.send(n).expect("room"));
        assert_eq!(gatherer.next(), Some(vec![0, 1, 2]));
        assert_eq!(gatherer.next(), Some(vec![3, 4]), "the sender is there, but sends nothing");
        sender.send(5).expect("room");
        drop(sender);
        assert_eq!(gatherer.next(), Some(vec![5]));
        assert_eq!(gatherer.next(), None);
    }

    #[test]
    fn permits_limit_the_work_at_the_same_time() {
        use std::sync::atomic::AtomicUsize;
        let permits = Permits::new(2);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    permits.with(|| {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(5));
                        now.fetch_sub(1, Ordering::SeqCst);
                    });
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn the_first_error_wins() {
        let latch = Latch::default();
        assert!(!latch.is_closed());
        latch.fail(Error::refused("first"));
        latch.fail(Error::refused("second"));
        assert!(latch.is_closed());
        assert_eq!(latch.into_result().expect_err("failed").to_string(), "first");
    }
}

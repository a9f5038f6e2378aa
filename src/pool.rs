//! Bounded resources of a run: the buffers that blocks travel in, permits, and the latch that stops it.

use crate::types::error::{Error, Result};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A fixed number of buffers of one size: the only memory that block data lives in, so that a run's memory
/// does not depend on the size of the image.
///
/// The memory of a buffer is taken when it is first needed, and buffers that are free are used again last
/// in, first out by the channel's order of return, so a small job takes little.
pub struct BufferPool {
    free: Receiver<Vec<u8>>,
    back: Sender<Vec<u8>>,
    size: usize,
}

impl BufferPool {
    /// `count` buffers of `size` bytes.
    pub fn new(count: usize, size: usize) -> Self {
        let (back, free) = bounded(count);
        for _ in 0..count {
            // Empty vectors take no memory yet.
            let _ = back.try_send(Vec::new());
        }
        BufferPool { free, back, size }
    }

    /// A buffer of `length` bytes (at most the pool's size), with arbitrary content. Waits until one is free;
    /// `None` if `stop` came first.
    pub fn take(&self, length: usize, latch: &Latch) -> Option<Buffer> {
        let mut data = loop {
            match self.free.recv_timeout(std::time::Duration::from_millis(100)) {
                Ok(data) => break data,
                Err(_) if latch.is_closed() => return None,
                Err(_) => {}
            }
        };
        if data.len() < self.size {
            data.resize(self.size, 0);
        }
        Some(Buffer { data, length: length.min(self.size), back: self.back.clone() })
    }
}

/// A buffer that goes back to its pool when it is dropped.
pub struct Buffer {
    data: Vec<u8>,
    length: usize,
    back: Sender<Vec<u8>>,
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.data[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.data[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let _ = self.back.try_send(std::mem::take(&mut self.data));
    }
}

/// So many threads at a time may do something: `simultaneous_*` bounds the requests to a store, while more
/// threads than that may be busy with compression.
pub struct Permits {
    free: Receiver<()>,
    back: Sender<()>,
}

impl Permits {
    /// `count` permits, at least 1.
    pub fn new(count: usize) -> Self {
        let (back, free) = bounded(count.max(1));
        for _ in 0..count.max(1) {
            let _ = back.try_send(());
        }
        Permits { free, back }
    }

    /// Does `work` while holding a permit.
    pub fn with<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Gives the permit back also when the work panics.
        struct Held<'a>(&'a Sender<()>);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                let _ = self.0.try_send(());
            }
        }
        // The permits' own sender lives as long as the receiver: this waits, and never fails.
        let _ = self.free.recv();
        let _held = Held(&self.back);
        work()
    }
}

/// Stops a run: the first error is kept, and nothing new starts after it.
#[derive(Default)]
pub struct Latch {
    closed: AtomicBool,
    first: Mutex<Option<Error>>,
}

impl Latch {
    /// Keeps `error` if it is the first, and stops the run.
    pub fn fail(&self, error: Error) {
        let mut first = self.first.lock().unwrap_or_else(|e| e.into_inner());
        first.get_or_insert(error);
        self.closed.store(true, Ordering::Release);
    }

    /// Whether the run is to end.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The first error, if there was one.
    pub fn into_result(self) -> Result<()> {
        match self.first.into_inner().unwrap_or_else(|e| e.into_inner()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Number of threads that computing is worth having: the cores this process may use.
pub fn cores() -> usize {
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
        latch.fail(Error::Refused("stop".into()));
        assert!(pool.take(1, &latch).is_none(), "none is free and the run ends");
        drop(first);
        assert!(pool.take(1, &latch).is_some());
    }

    #[test]
    fn permits_bound_what_runs_at_the_same_time() {
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
        latch.fail(Error::Refused("first".into()));
        latch.fail(Error::Refused("second".into()));
        assert!(latch.is_closed());
        assert_eq!(latch.into_result().expect_err("failed").to_string(), "first");
    }
}

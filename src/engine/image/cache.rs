//! A cache of blocks in memory with a limit in bytes. It drops the least recently used blocks first. Concurrent
//! readers of a block share one fetch.

use crate::flow::loader::Taker;
use crate::types::keys::BlobId;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Number of buffers of dropped blocks that are kept for reuse.
const SPARE: usize = 4;

/// Identifies the data of a block. A blob keeps its key in the database for ever, and several versions may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The key of the blob.
    pub blob: BlobId,
    /// Length of the block in bytes.
    pub length: usize,
}

/// The cache.
pub(super) struct Cache {
    state: Mutex<Contents>,
    limit: u64,
}

#[derive(Default)]
struct Contents {
    entries: HashMap<Key, Entry>,
    /// Ready entries, sorted by their last use.
    order: BTreeMap<u64, Key>,
    clock: u64,
    /// Bytes of all entries, including those that are being fetched.
    bytes: u64,
    spare: Vec<Vec<u8>>,
}

enum Entry {
    Coming(Arc<Slot>),
    Ready(Arc<Vec<u8>>, u64),
}

/// The result of [`Cache::claim`].
pub(super) enum Found {
    /// The data.
    Ready(Arc<Vec<u8>>),
    /// Another reader is fetching it.
    Coming(Arc<Slot>),
    /// The caller must fetch it, into this buffer.
    Absent(Ticket, Arc<Slot>, Vec<u8>),
}

/// The place where readers wait for a block.
#[derive(Default)]
pub(super) struct Slot {
    outcome: Mutex<Option<Result<Arc<Vec<u8>>, String>>>,
    there: Condvar,
}

impl Slot {
    /// Waits for the block, or for the reason why it could not be fetched.
    pub(super) fn wait(&self) -> Result<Arc<Vec<u8>>, String> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*outcome {
                Some(outcome) => return outcome.clone(),
                None => outcome = self.there.wait(outcome).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn set(&self, outcome: Result<Arc<Vec<u8>>, String>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        self.there.notify_all();
    }
}

/// The duty to fetch a block. Dropping it counts as a failed fetch, and the waiting readers get an error.
pub(super) struct Ticket {
    cache: Arc<Cache>,
    key: Key,
    slot: Option<Arc<Slot>>,
}

impl Taker for Ticket {
    fn take(mut self, data: Result<Vec<u8>, String>) {
        if let Some(slot) = self.slot.take() {
            self.cache.finish(self.key, &slot, data);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.cache.finish(self.key, &slot, Err("the mount ends".to_owned()));
        }
    }
}

impl Cache {
    /// A cache of up to `limit` bytes. Blocks that are being fetched count, but are never dropped.
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Cache { state: Mutex::default(), limit })
    }

    fn state(&self) -> MutexGuard<'_, Contents> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The limit in bytes.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Looks up a block. If nobody is fetching it yet, the caller must do so.
    pub(super) fn claim(self: &Arc<Self>, key: Key) -> Found {
        let mut guard = self.state();
        let state = &mut *guard;
        match state.entries.get_mut(&key) {
            Some(Entry::Coming(slot)) => Found::Coming(Arc::clone(slot)),
            Some(Entry::Ready(data, used)) => {
                state.order.remove(used);
                state.clock += 1;
                *used = state.clock;
                state.order.insert(state.clock, key);
                Found::Ready(Arc::clone(data))
            }
            None => {
                let slot = Arc::<Slot>::default();
                state.entries.insert(key, Entry::Coming(Arc::clone(&slot)));
                state.bytes += key.length as u64;
                state.shrink(self.limit);
                let buffer = state.spare.pop().unwrap_or_default();
                drop(guard);
                let ticket = Ticket { cache: Arc::clone(self), key, slot: Some(Arc::clone(&slot)) };
                Found::Absent(ticket, slot, buffer)
            }
        }
    }

    fn finish(&self, key: Key, slot: &Slot, data: Result<Vec<u8>, String>) {
        let data = data.map(Arc::new);
        let mut guard = self.state();
        let state = &mut *guard;
        match &data {
            Ok(data) => {
                state.clock += 1;
                state.entries.insert(key, Entry::Ready(Arc::clone(data), state.clock));
                state.order.insert(state.clock, key);
            }
            // The next reader tries again. The store may be back by then, or the blob repaired.
            Err(_) => {
                state.entries.remove(&key);
                state.bytes -= key.length as u64;
            }
        }
        drop(guard);
        slot.set(data);
    }
}

impl Contents {
    fn shrink(&mut self, limit: u64) {
        while self.bytes > limit {
            let Some((_, key)) = self.order.pop_first() else { return };
            let Some(Entry::Ready(data, _)) = self.entries.remove(&key) else { continue };
            self.bytes -= key.length as u64;
            // If a reader still copies from the data, it is freed when that reader has finished.
            if let Some(buffer) = Arc::into_inner(data)
                && self.spare.len() < SPARE
            {
                self.spare.push(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bring(cache: &Arc<Cache>, blob: i64, length: usize) {
        match cache.claim(Key { blob: BlobId(blob), length }) {
            Found::Absent(ticket, _, _) => ticket.take(Ok(vec![blob as u8; length])),
            _ => panic!("block {blob} is there"),
        }
    }

    fn has(cache: &Arc<Cache>, blob: i64) -> bool {
        match cache.claim(Key { blob: BlobId(blob), length: 10 }) {
            Found::Ready(data) => data.iter().all(|byte| *byte == blob as u8),
            Found::Coming(_) => panic!("nobody fetches it"),
            Found::Absent(..) => false,
        }
    }

    #[test]
    fn the_least_recently_used_block_goes_first() {
        let cache = Cache::new(30);
        for blob in 1..=3 {
            bring(&cache, blob, 10);
        }
        assert!(has(&cache, 1));
        bring(&cache, 4, 10);
        assert_eq!([1, 3, 4].map(|blob| has(&cache, blob)), [true; 3]);
        assert_eq!(cache.state().bytes, 30);
        assert!(!has(&cache, 2), "it was used longest ago");
        assert_eq!(
            cache.state().bytes,
            20,
            "a fetch that was given up does not count any more; one block made way for it"
        );
    }

    #[test]
    fn readers_share_a_fetch_and_its_failure() {
        let cache = Cache::new(100);
        let key = Key { blob: BlobId(1), length: 10 };
        let Found::Absent(ticket, first, _) = cache.claim(key) else { panic!("nothing is there") };
        let Found::Coming(second) = cache.claim(key) else { panic!("it is under way") };
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| second.wait());
            drop(ticket);
            assert!(waits.join().expect("no panic").is_err());
        });
        assert!(first.wait().is_err());
        assert_eq!(cache.state().bytes, 0);
        bring(&cache, 1, 10);
        assert!(has(&cache, 1), "a failure is not for ever");
    }

    #[test]
    fn blocks_larger_than_the_cache_pass_through() {
        let cache = Cache::new(5);
        bring(&cache, 1, 10);
        assert!(has(&cache, 1));
        bring(&cache, 2, 10);
        assert!(has(&cache, 2));
        assert!(!has(&cache, 1));
    }
}

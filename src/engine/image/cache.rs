//! Blocks in memory, bounded in bytes, the least recently used ones given up first. Concurrent readers of a block
//! share one fetch.

use crate::flow::loader::Taker;
use crate::types::keys::BlobId;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Buffers of blocks that were given up, kept for the next ones.
const SPARE: usize = 4;

/// A block's data: a blob has one key in the database for ever, and several versions may name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The blob's key.
    pub blob: BlobId,
    /// Length of the block in bytes.
    pub length: usize,
}

/// The cache.
pub(super) struct Cache {
    state: Mutex<State>,
    limit: u64,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Entry>,
    /// Ready entries by when they were used last.
    order: BTreeMap<u64, Key>,
    clock: u64,
    /// Of all entries, those under way too.
    bytes: u64,
    spare: Vec<Vec<u8>>,
}

enum Entry {
    Coming(Arc<Slot>),
    Ready(Arc<Vec<u8>>, u64),
}

/// What [`Cache::claim`] found.
pub(super) enum Found {
    /// The data.
    Ready(Arc<Vec<u8>>),
    /// Somebody fetches it.
    Coming(Arc<Slot>),
    /// The caller is to fetch it, into this buffer.
    Absent(Ticket, Arc<Slot>, Vec<u8>),
}

/// Where the readers of a block wait.
#[derive(Default)]
pub(super) struct Slot {
    outcome: Mutex<Option<Result<Arc<Vec<u8>>, String>>>,
    there: Condvar,
}

impl Slot {
    /// Waits until the block is there, or it is known why it is not.
    pub fn wait(&self) -> Result<Arc<Vec<u8>>, String> {
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

/// The duty to bring a block. Whoever drops it has failed, and those who wait hear of it.
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
    /// Keeps up to `limit` bytes. What is under way counts, and is never given up.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Cache { state: Mutex::default(), limit })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that it may hold.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Looks a block up. If nobody fetches it yet, the caller has to.
    pub fn claim(self: &Arc<Self>, key: Key) -> Found {
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
            // The next reader tries again: a store may come back, a blob be mended.
            Err(_) => {
                state.entries.remove(&key);
                state.bytes -= key.length as u64;
            }
        }
        drop(guard);
        slot.set(data);
    }
}

impl State {
    fn shrink(&mut self, limit: u64) {
        while self.bytes > limit {
            let Some((_, key)) = self.order.pop_first() else { return };
            let Some(Entry::Ready(data, _)) = self.entries.remove(&key) else { continue };
            self.bytes -= key.length as u64;
            // A reader may still copy from it: then it goes with the reader.
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
            "what was claimed and given up counts no more; one made way for it"
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

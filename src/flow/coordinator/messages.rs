//! The messages between the coordinator and the other stages.

use crate::meta::{Known, NewBlob};
use crate::pool::Buffer;
use crate::types::checksum::Digest;
use crossbeam_channel::{Receiver, Sender};
use std::ops::Range;

/// A block that comes from the readers or from the hash stage.
pub(crate) enum Fresh {
    /// Blocks that the source reports as holes.
    Holes(Range<u64>),
    /// A block that was read and contains only zeros.
    Zero {
        /// Number of the block.
        id: u64,
    },
    /// A block with its digest.
    Hashed {
        /// Number of the block.
        id: u64,
        /// Digest of its data.
        digest: Digest,
        /// Its data.
        data: Buffer,
    },
}

/// A block to store.
pub(crate) struct StoreJob {
    /// Number of the block, which also names the job.
    pub id: u64,
    /// Digest of its data.
    pub digest: Digest,
    /// Its data.
    pub data: Buffer,
    /// The blob that should already have this data. It has not been checked yet.
    pub known: Option<Known>,
}

/// The result of a job.
pub(crate) enum Done {
    /// The data was stored.
    Stored {
        /// The new blob.
        stored: Stored,
        /// The known blob that could not be reused, and why.
        instead: Option<(Known, String)>,
    },
    /// The known blob seems good, and is reused.
    Known {
        /// The job's block.
        id: u64,
        /// The blob.
        known: Known,
    },
}

/// A block that was put into the store, though it may not be durable yet.
pub(crate) struct Stored {
    /// The job's block.
    pub id: u64,
    /// The blob's entry for the metadata.
    pub blob: NewBlob,
    /// The length of the blob in the store, in bytes: compressed and encrypted.
    pub length: u64,
}

/// The ends of the channels that the coordinator holds.
pub(crate) struct Channels {
    /// From readers and hash stage.
    pub fresh: Receiver<Fresh>,
    /// To the write pool.
    pub jobs: Sender<StoreJob>,
    /// From the write pool.
    pub stored: Receiver<Done>,
    /// To the thread that makes batches durable.
    pub unsynced: Sender<Vec<Stored>>,
    /// Batches that are durable.
    pub synced: Receiver<Vec<Stored>>,
}

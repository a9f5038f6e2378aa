//! The basic types of the program. They know nothing of files, databases or threads.

pub mod block;
pub mod block_set;
pub mod checksum;
pub mod error;
pub(crate) mod generated;
pub mod hex;
pub mod hints;
pub(crate) mod keys;
pub mod lock;
pub mod object;
pub mod pattern;
pub(crate) mod reason;
pub mod remedy;
pub mod retention;
pub mod settings;
pub(crate) mod text;
pub mod time;
pub mod uid;
mod verbatim;
pub mod version;

pub use block::{Blob, BlockRow, Encryption, Geometry};
pub use block_set::BlockSet;
pub use checksum::{Checksum, Digest};
pub use error::{Error, Result};
pub use hints::Hints;
pub use keys::{BlobId, VersionKey};
pub use time::Timestamp;
pub use uid::{BlobUid, VersionUid};
pub use version::{NewVersion, Statistics, Version};

//! The words of the field as types: they know nothing of files, databases or threads.

pub mod block;
pub mod error;
pub mod generated;
pub mod hints;
pub mod settings;
pub mod text;
pub mod time;
pub mod uid;
pub mod version;

pub use block::{Blob, BlockRow, Checksum, Encryption, Geometry};
pub use error::{Error, Result};
pub use hints::Hints;
pub use time::Timestamp;
pub use uid::{BlobUid, VersionUid};
pub use version::{NewVersion, Statistics, Version};

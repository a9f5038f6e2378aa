//! The verbs: the operations that the rest of the program performs on the metadata, as methods of
//! [`Metadata`](super::Metadata).
//!
//! Each verb is defined once here. Its SQL is in the method itself, or in a function in the same file. Both engines
//! understand the statements. Work that the engines do in different ways is a method of [`Db`](super::sql::Db).

mod backup;
mod catalogue;
mod check;
mod cleanup;
mod copies;
mod covering;
mod marks;
mod origins;
mod read;
mod rebuild;
mod rekey;
mod status;
mod stores;
mod transfer;
mod usage;
mod verifications;

pub(super) use backup::{hole, keep};
pub use rebuild::{Filled, Filling, Halt, NewBlobRow};

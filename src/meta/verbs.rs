//! The verbs: what the rest of the program can ask of the metadata, as methods of [`Metadata`](super::Metadata).
//!
//! Each verb stands here once, with its SQL: in the method itself, or in a function below it in the same file. Statements
//! are in the SQL that both engines understand. What an engine does in its own way is a method of
//! [`Db`](super::sql::Db).

mod backup;
mod catalogue;
mod cleanup;
mod marks;
mod origins;
mod read;
mod rekey;
mod transfer;
mod usage;

pub(super) use backup::{hole, keep};

//! What the commands are composed of: the plan of a backup, the way of data in and the way of data out.

pub mod coordinator;
pub mod cursor;
pub mod fetch;
pub mod ingest;
pub mod loader;
pub mod plan;
pub mod probe;
pub mod reuse;
pub mod version_source;
pub mod walk;

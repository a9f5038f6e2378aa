//! The building blocks of the commands: the plan of a backup, and the paths of data in and out.

pub mod coordinator;
pub mod cursor;
pub mod fetch;
pub mod ingest;
pub mod loader;
pub mod plan;
pub mod probe;
pub mod reuse;
pub mod rows;
pub mod version_source;
pub mod walk;

//! The building blocks of the commands: the plan of a backup, and the paths of data in and out.

pub(crate) mod coordinator;
pub(crate) mod cursor;
pub(crate) mod fetch;
pub(crate) mod ingest;
pub(crate) mod loader;
pub(crate) mod objects;
pub mod plan;
pub(crate) mod probe;
pub(crate) mod reuse;
pub(crate) mod rows;
pub(crate) mod spot;
pub(crate) mod version_source;
pub(crate) mod walk;

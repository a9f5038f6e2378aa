//! The metadata: versions, the blobs they name, and what was deleted.
//!
//! [`open()`] returns a [`Metadata`], whose methods are the verbs. A verb is one transaction, and as coarse as the work
//! allows. No verb has to be called for each block in a loop, and one statement carries a whole range of unchanged
//! blocks, whose rows never leave the database.
//!
//! The verbs are in `verbs`, with the SQL that both engines understand (`sql`). Where SQLite and PostgreSQL differ, the
//! verbs call the trait `Db`, which `sqlite` and `postgres` implement.

pub(crate) mod copy;
mod metadata;
mod model;
mod open;
mod postgres;
mod reports;
mod revision;
mod since;
mod sql;
mod sqlite;
#[cfg(test)]
pub(crate) mod tests;
pub mod url;
mod verbs;

pub use metadata::Metadata;
pub use model::{
    Candidates, Carried, Deletable, DueCopy, Fate, Fingerprint, Finish, IndexRow, Known, Listed, NewBlob,
    NewRow, Rows, SampleBlob, Seal, StatisticsRow, StoreRow, SummedBlob, VersionContent, VersionFilter,
};
pub use open::{Access, LockTables, Opened, create, open};
pub use reports::{
    BadBlobs, Dangling, Deletions, DumpRow, DumpRows, Healed, MapSummary, NamedBlob, PastRun, Rekeyed,
    Rewrap, Rewrapped, Usage, VerifiedBy,
};
pub use revision::SchemaState;
pub use since::{GoingBack, LoneVersion, Since, since_upgrade};
pub use sqlite::claims;
pub(crate) use sqlite::{Begun, begun};
pub use verbs::{Filled, Filling, Halt, NewBlobRow};

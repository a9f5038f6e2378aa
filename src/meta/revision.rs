//! Finds out which schema a database has.

use crate::types::error::{Error, Result};
use crate::types::reason::Reason;
use crate::types::remedy::Remedy;

/// The revision of the schema, as in its table `schema_version`.
const REVISION: i64 = 6;
/// Earlier revisions. 1 lacks the tables for RBD snapshots, 1 and 2 lack claims, 1 to 3 lack stores, 1 to 4 lack the
/// tables for copies, and all lack verifications. Their other tables are the same.
const BEHIND: std::ops::RangeInclusive<i64> = 1..=5;
/// Tables that older releases may have.
pub(super) const OLD_TABLES: [&str; 7] =
    ["versions", "tags", "blocks", "deleted_blocks", "stats", "stats_old", "alembic_version"];
/// The prefix of their names while they are set aside for an upgrade.
pub(super) const ASIDE: &str = "before_upgrade_";
/// The columns of `stats` that an upgrade copies.
pub(super) const STATISTICS: &str = "date, version_uid, version_name, version_size_bytes, version_size_blocks, bytes_read,
    blocks_read, bytes_written, blocks_written, bytes_found_dedup, blocks_found_dedup, bytes_sparse, blocks_sparse,
    duration_seconds";
/// The revisions of 2.x, oldest first; the empty one is from before there was `alembic_version`.
const OLD_REVISIONS: [&str; 9] = [
    "",
    "bbe7904bfc3a",
    "29c655b78818",
    "828da0fbbe8d",
    "cd3f15ae79f8",
    "9e0939e3bc6d",
    "85966fcda5e6",
    "5260034b8125",
    "30349b678801",
];

/// The state of a database's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The schema is current.
    Current,
    /// An earlier revision of this schema. [`super::sqlite::Sqlite::add_tables`] (or that of PostgreSQL) must run
    /// before anything is backed up. The other tables are the same.
    Behind {
        /// Its revision.
        revision: i64,
    },
    /// The schema of an older release. It needs an upgrade.
    Old {
        /// Revision as `alembic_version` names it; empty for the oldest.
        revision: String,
        /// Whether the catalogue (versions, tags, statistics) has the form of 2.13, so that commands which
        /// read nothing else work without an upgrade.
        catalogue_is_current: bool,
    },
}

/// The content of the table `schema_version`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ours {
    /// There is no such table.
    #[default]
    NoTable,
    /// The table has no rows.
    Empty,
    /// The newest revision.
    Revision(i64),
}

impl Ours {
    /// From the newest revision in the table, which must exist.
    pub(super) fn newest(revision: Option<i64>) -> Self {
        revision.map_or(Ours::Empty, Ours::Revision)
    }
}

/// The content of a database that identifies its schema.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The content of its table `schema_version`.
    pub ours: Ours,
    /// The first table of 2.x that is missing.
    pub lacks: Option<&'static str>,
    /// The revision in `alembic_version`, if there is one.
    pub theirs: Option<String>,
}

/// The state of the schema.
pub(super) fn state(location: &str, found: Found) -> Result<SchemaState> {
    let invalid = |text: &str| Err(Error::database(format!("Invalid database ({location}). {text}")));
    match found.ours {
        Ours::Revision(REVISION) => return Ok(SchemaState::Current),
        Ours::Revision(revision) if BEHIND.contains(&revision) => {
            return Ok(SchemaState::Behind { revision });
        }
        Ours::Revision(newer) => {
            return invalid(&format!(
                "Its schema has revision {newer}, this release knows {REVISION}. Use the newer release that made it."
            ));
        }
        Ours::Empty => return invalid("Its table schema_version is empty."),
        Ours::NoTable => {}
    }
    if let Some(table) = found.lacks {
        let text =
            format!("Invalid database ({location}). It has no table {table}. Please run initdb first.");
        return Err(Error::database(Reason::from(text).remedy(Remedy::RebuildDatabase)));
    }
    let revision = found.theirs.unwrap_or_default();
    if !OLD_REVISIONS.contains(&&revision[..]) {
        return invalid(&format!(
            "Its schema has the revision {revision}, which no release of backy2 2.x is known to have made. \
             Nothing was changed."
        ));
    }
    let catalogue_is_current = OLD_REVISIONS.last() == Some(&&revision[..]);
    Ok(SchemaState::Old { revision, catalogue_is_current })
}

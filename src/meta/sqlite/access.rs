//! Opens a file for a command, and upgrades it if the command needs that.

use super::{Sqlite, reserve, upgrade};
use crate::meta::{Access, LockTables, Opened, SchemaState};
use crate::monitor::Monitor;
use crate::types::error::Result;
use std::path::Path;

/// See [`crate::meta::open`].
pub(in crate::meta) fn open<G>(
    path: &Path,
    access: Access,
    cachedir: &Path,
    monitor: &dyn Monitor,
    alone: impl FnOnce() -> Result<G>,
) -> Result<Opened> {
    let mut database = match access {
        Access::Remove => Sqlite::open_to_free(path, reserve::FOR_CLEANUP)?,
        Access::Clean => Sqlite::open_to_free(path, 0)?,
        _ => Sqlite::open(path)?,
    };
    let is_writable = database.check_writable().is_ok();
    let is_current = match database.state()? {
        SchemaState::Current => true,
        SchemaState::Behind { .. } if access.may_change() && is_writable => {
            database.add_tables()?;
            true
        }
        // The command does not need the missing tables.
        SchemaState::Behind { .. } => false,
        // The catalogue can be listed as it is.
        SchemaState::Old { catalogue_is_current: true, .. } if access.only_lists() => false,
        SchemaState::Old { .. } if access.only_lists() => {
            database = upgrade::catalogue(&database)?;
            false
        }
        // The command uses no table.
        SchemaState::Old { .. } if access == Access::Observe => false,
        SchemaState::Old { .. } if access == Access::Copy => {
            monitor.info("The database was made by an older release: copying a temporary upgraded copy.");
            return upgraded_copy(&database, cachedir, monitor);
        }
        SchemaState::Old { .. } if is_writable => {
            let _exclusive = alone()?;
            // The process that held the lock before may have replaced the file.
            database = Sqlite::open(path)?;
            upgrade::upgrade(&mut database, monitor)?;
            database.state()? == SchemaState::Current
        }
        // The command will find out that it cannot write.
        SchemaState::Old { .. } if access.writes() => false,
        SchemaState::Old { .. } => {
            monitor.warning(
                "The database was made by an older release and cannot be written: using a temporary upgraded copy.",
            );
            return upgraded_copy(&database, cachedir, monitor);
        }
    };
    let register = if is_current { LockTables::File(database.claims()) } else { LockTables::None };
    Ok(Opened { metadata: database.into(), register })
}

fn upgraded_copy(database: &Sqlite, cachedir: &Path, monitor: &dyn Monitor) -> Result<Opened> {
    let copy = upgrade::upgraded_copy(database, cachedir, monitor)?;
    Ok(Opened { metadata: copy.into(), register: LockTables::None })
}

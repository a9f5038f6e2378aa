//! Connects to the database of a server for a command, and upgrades it if the command needs that.

use super::{Postgres, upgrade};
use crate::meta::{Access, LockTables, Opened, SchemaState};
use crate::monitor::Monitor;
use crate::pg::{Address, Fence};
use crate::types::error::{Error, Result};

/// See [`crate::meta::open`].
pub(in crate::meta) fn open<G>(
    address: Box<Address>,
    access: Access,
    monitor: &dyn Monitor,
    alone: impl FnOnce() -> Result<G>,
) -> Result<Opened> {
    let fence = Fence::default();
    let mut database = Postgres::open((*address).clone(), monitor.handle(), fence.clone())?;
    match database.state()? {
        SchemaState::Current => {}
        SchemaState::Behind { .. } if access.may_change() && database.check_writable().is_ok() => {
            database.add_tables()?;
        }
        // The command does not need the missing tables.
        SchemaState::Behind { .. } => {}
        // The catalogue can be listed as it is. There are no tables for locks.
        SchemaState::Old { catalogue_is_current, .. }
            if access == Access::Observe || access.only_lists() && catalogue_is_current =>
        {
            return Ok(Opened { metadata: database.into(), register: LockTables::None });
        }
        SchemaState::Old { .. } if access == Access::Copy => {
            return Err(Error::refused(
                "The configured database was made by an older release. Upgrade it first, by any other command \
                 such as `backy2 du`. Nothing was changed.",
            ));
        }
        SchemaState::Old { .. } => {
            let _exclusive = alone()?;
            upgrade::upgrade(&mut database, monitor)?;
        }
    }
    Ok(Opened { metadata: database.into(), register: LockTables::Server { address, fence } })
}

//! Copies the metadata into another database.

use super::{lock_dir, site};
use crate::config::Config;
use crate::meta::copy::{self, Copied};
use crate::meta::url::DatabaseUrl;
use crate::meta::{self, Access, Metadata, SchemaState};
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};

/// Copies the configured database into the one that `target` names. The target is created, or it must be empty. The
/// configured database does not change and stays in use.
///
/// # Errors
/// Other processes are running, the target has rows, or one of the databases fails. After an error the copy has left
/// no rows in the target.
pub(crate) fn run(config: &Config, monitor: &dyn Monitor, target: &str) -> Result<Vec<Copied>> {
    let mut locks = lock_dir::locks(config)?;
    locks.startup_check()?;
    let configured = DatabaseUrl::parse(&config.meta.engine)?;
    let wanted = DatabaseUrl::read(target).map_err(|why| Error::refused(why.during("TARGET_ENGINE")))?;
    if configured == wanted {
        return Err(Error::refused("TARGET_ENGINE is the configured database itself. Nothing was changed."));
    }
    let mut from = site::open_database(config, &mut locks, monitor, Access::Copy)?;
    let _exclusive = locks.exclusive(&config.process_name)?;
    match meta::create(&wanted, config.file_mode, monitor.handle()) {
        Ok(()) => {}
        // The target has tables already. Later code checks that they are ours and empty.
        Err(Error::Refused(_)) => {}
        Err(error) => return Err(error),
    }
    let mut to = open_target(&wanted, monitor)?;
    copy::copy(&mut from, &mut to, &mut |copied| {
        monitor.info(&format!("Copied {}: {} rows", copied.table, copied.rows));
    })
}

fn open_target(url: &DatabaseUrl, monitor: &dyn Monitor) -> Result<Metadata> {
    let mut database = Metadata::open(url, monitor.handle())?;
    match database.state()? {
        SchemaState::Current => Ok(database),
        _ => Err(Error::refused(
            "TARGET_ENGINE is the database of an older release. Nothing was changed. Name an empty one.",
        )),
    }
}

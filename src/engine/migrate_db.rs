//! Copying the metadata into another database.

use super::{lock_dir, site};
use crate::config::Config;
use crate::meta::copy::{self, Copied};
use crate::meta::url::DatabaseUrl;
use crate::meta::{self, Access, Metadata, State};
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};

/// Copies the configured database into the one that `target` names, which is made or must be empty. The configured
/// one stays as it is, and stays the one that is used.
///
/// # Errors
/// Other processes run; the target has rows; what either database says. The target has no rows then.
pub fn run(config: &Config, monitor: &dyn Monitor, target: &str) -> Result<Vec<Copied>> {
    let mut locks = lock_dir::locks(config)?;
    locks.startup_check()?;
    let configured = DatabaseUrl::parse(&config.meta.engine)?;
    let wanted = DatabaseUrl::parse(target).map_err(|e| match e {
        Error::Config(reason) => {
            Error::refused(reason.text().replace("[MetaBackend] engine", "TARGET_ENGINE"))
        }
        other => other,
    })?;
    if configured == wanted {
        return Err(Error::refused("TARGET_ENGINE is the configured database itself. Nothing was changed."));
    }
    let mut from = site::open_database(config, &mut locks, monitor, Access::Copy)?;
    let _exclusive = locks.exclusive(&config.process_name)?;
    match meta::create(&wanted, config.file_mode, monitor.handle()) {
        Ok(()) => {}
        // It has tables already: whether they are ours and empty is seen below.
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
        State::Current => Ok(database),
        _ => Err(Error::refused(
            "TARGET_ENGINE is the database of an older release. Nothing was changed. Name an empty one.",
        )),
    }
}

//! Copying the metadata into another database.

use super::claims::FileRegister;
use super::{init, lock_dir};
use crate::config::Config;
use crate::locks::{Database as SharedLocks, Locks};
use crate::meta::State;
use crate::meta::copy::{self, Copied, Database};
use crate::meta::postgres::Postgres;
use crate::meta::sqlite::{Sqlite, upgrade};
use crate::meta::url::{self, Engine};
use crate::monitor::{Handle, Monitor};
use crate::pg::Fence;
use crate::types::error::{Error, Result};

/// Copies the configured database into the one that `target` names, which is made or must be empty. The configured
/// one stays as it is, and stays the one that is used.
///
/// # Errors
/// Other processes run; the target has rows; what either database says. The target has no rows then.
pub fn run(config: &Config, monitor: &dyn Monitor, target: &str) -> Result<Vec<Copied>> {
    let mut locks = lock_dir::locks(config)?;
    locks.startup_check()?;
    let engine = url::parse(&config.meta.engine)?;
    let wanted = url::parse(target).map_err(|e| match e {
        Error::Config(text) => Error::Refused(text.replace("[MetaBackend] engine", "TARGET_ENGINE")),
        other => other,
    })?;
    if engine == wanted {
        return Err(Error::Refused(
            "TARGET_ENGINE is the configured database itself. Nothing was changed.".into(),
        ));
    }
    let (mut from, all) = source(engine, config, &mut locks, monitor.handle())?;
    let _exclusive = locks.exclusive(&config.process_name)?;
    match init::tables(target, config.file_mode, monitor) {
        Ok(()) => {}
        // It has tables already: whether they are ours and empty is seen below.
        Err(Error::Refused(_)) => {}
        Err(error) => return Err(error),
    }
    let mut to = open_target(wanted, monitor.handle())?;
    copy::copy(&mut from, &mut to, all, &mut |copied| {
        monitor.info(&format!("Copied {}: {} rows", copied.table, copied.rows));
    })
}

/// Opens the configured database without changing it, and tells whether it has all tables.
fn source(engine: Engine, config: &Config, locks: &mut Locks, monitor: Handle) -> Result<(Database, bool)> {
    Ok(match engine {
        Engine::Sqlite(path) => {
            let database = Sqlite::open(&path)?;
            match database.state()? {
                State::Current => {
                    locks.share(FileRegister::new(database.claims(), true));
                    (Database::Sqlite(Box::new(database)), true)
                }
                // Only the first revision lacks something that is copied.
                State::Behind { revision } => (Database::Sqlite(Box::new(database)), revision > 1),
                State::Old { .. } => {
                    monitor.info(
                        "The database was made by an older release: copying a temporary upgraded copy.",
                    );
                    let copy = upgrade::upgraded_copy(&database, &config.cachedir, &monitor)?;
                    (Database::Sqlite(Box::new(copy)), true)
                }
            }
        }
        Engine::Postgres(address) => {
            let fence = Fence::default();
            let mut database = Postgres::open((*address).clone(), monitor.clone(), fence.clone())?;
            if matches!(database.state()?, State::Old { .. }) {
                return Err(Error::Refused(
                    "The configured database was made by an older release. Upgrade it first, by any other command \
                     such as `backy2 du`. Nothing was changed."
                        .into(),
                ));
            }
            locks.share(SharedLocks::new(*address, monitor, fence));
            (Database::Postgres(Box::new(database)), true)
        }
    })
}

fn open_target(engine: Engine, monitor: Handle) -> Result<Database> {
    let (database, state) = match engine {
        Engine::Sqlite(path) => {
            let database = Sqlite::open(&path)?;
            let state = database.state();
            (Database::Sqlite(Box::new(database)), state)
        }
        Engine::Postgres(address) => {
            let mut database = Postgres::open(*address, monitor, Fence::default())?;
            let state = database.state();
            (Database::Postgres(Box::new(database)), state)
        }
    };
    match state {
        Ok(State::Current) => Ok(database),
        Ok(_) => Err(Error::Refused(
            "TARGET_ENGINE is the database of an older release. Nothing was changed. Name an empty one."
                .into(),
        )),
        Err(error) => Err(error),
    }
}

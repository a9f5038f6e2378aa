//! Runs the tests of commands, damage, dumps and wrong input again with PostgreSQL. Each installation has its own
//! database on a server that runs as long as these tests. The name of this binary selects the engine
//! (`common::database::Engine`).
//!
//! Some tests are missing, as they are about SQLite files or need no database:
//! - `commands/upgrade` and `upgraded`: files of older releases, copies beside them, files that cannot be written;
//!   `upgrade` here is about databases of older releases on a server;
//! - `commands/check_files` and `wrong_input/files`: damaged files and files that are no database;
//! - `commands/devices`, `generate`, `packaging`: block devices, manual pages, the package.

#[path = "../common/mod.rs"]
mod common;

#[path = "../commands/check.rs"]
mod check;
#[path = "../commands/check_copies.rs"]
mod check_copies;
#[path = "../commands/concurrency.rs"]
mod concurrency;
mod connections;
#[path = "../commands/copies.rs"]
mod copies;
#[path = "../commands/crash.rs"]
mod crash;
#[path = "../damage/cases.rs"]
mod damage;
#[path = "../commands/databases.rs"]
mod databases;
#[path = "../dumps/cases.rs"]
mod dumps;
#[path = "../commands/exit_codes.rs"]
mod exit_codes;
#[path = "../commands/fixture_lifecycle.rs"]
mod fixture_lifecycle;
#[path = "../commands/fixtures.rs"]
mod fixtures;
#[path = "../commands/forgery.rs"]
mod forgery;
mod hostile;
mod hosts;
#[path = "../commands/json.rs"]
mod json;
#[path = "../commands/kill.rs"]
mod kill;
#[path = "../commands/metrics.rs"]
mod metrics;
#[path = "../commands/migrate.rs"]
mod migrate;
#[path = "../model/cases.rs"]
mod model;
mod mounts;
#[path = "../commands/names.rs"]
mod names;
mod nbd;
#[path = "../commands/old_sql.rs"]
mod old_sql;
#[path = "../commands/prune.rs"]
mod prune;
#[path = "../commands/quickstart.rs"]
mod quickstart;
#[path = "../commands/rebuild.rs"]
mod rebuild;
#[path = "../commands/rekey.rs"]
mod rekey;
#[path = "../commands/report.rs"]
mod report;
mod restart;
#[path = "../commands/run.rs"]
mod run;
mod schemas;
mod secure;
mod server;
#[path = "../commands/signals.rs"]
mod signals;
#[path = "../commands/sla.rs"]
mod sla;
#[path = "../commands/status.rs"]
mod status;
#[path = "../commands/stores.rs"]
mod stores;
#[path = "../commands/transfer.rs"]
mod transfer;
#[path = "../commands/unmounted.rs"]
mod unmounted;
mod upgrade;
#[path = "../commands/usage.rs"]
mod usage;
#[path = "../wrong_input/cases.rs"]
mod wrong_input;

//! Tests of the commands, which run the binary as users do: one file per subject.

#[path = "../common/mod.rs"]
mod common;

mod causes;
mod check;
mod check_copies;
mod check_files;
mod clock;
mod concurrency;
mod copies;
mod crash;
mod databases;
mod devices;
mod downgrade;
mod exit_codes;
mod fixture_lifecycle;
mod fixtures;
mod forgery;
mod full_disk;
mod generate;
mod huge;
mod json;
mod kill;
mod lost;
mod migrate;
mod moved;
mod names;
mod old_sql;
mod packaging;
mod people;
mod prune;
mod quickstart;
mod rebuild;
mod rekey;
mod run;
mod shortages;
mod signals;
mod sla;
mod status;
mod stores;
mod transfer;
mod unmounted;
mod upgrade;
mod upgraded;
mod upgrading;
mod usage;

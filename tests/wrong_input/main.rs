//! Wrong input of every kind: the exit codes of 2.13, a message that names the error, and no change.

#[path = "../common/mod.rs"]
mod common;

#[path = "cases.rs"]
mod cases;
#[path = "files.rs"]
mod files;
#[path = "neighbours.rs"]
mod neighbours;

//! Wrong input of every kind: the exit codes that 2.13 gave, a message that names what was wrong, and nothing
//! written.

#[path = "../common/mod.rs"]
mod common;

#[path = "cases.rs"]
mod cases;
#[path = "files.rs"]
mod files;
#[path = "neighbours.rs"]
mod neighbours;

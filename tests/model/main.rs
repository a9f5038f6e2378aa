//! Random sequences of commands on small images, compared with a model in memory. `cases` describes the settings.

#[path = "../common/mod.rs"]
mod common;

#[path = "cases.rs"]
mod cases;

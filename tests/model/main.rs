//! Random sequences of commands on small images, against a model in memory. Everything happens through the
//! engine, in this process.
//!
//! `BACKY2_SEED` repeats a run; `BACKY2_MODEL` says how many sequences there are: 60 by default, a thousand with
//! `BACKY2_TESTS=all`.

#[path = "../common/mod.rs"]
mod common;

#[path = "cases.rs"]
mod cases;

//! Ceph RBD on a real cluster: images of all kinds as sources and targets, hints, `--incremental`.

#[path = "../common/mod.rs"]
mod common;

mod images;
mod incremental;
mod jobs;
mod rounds;

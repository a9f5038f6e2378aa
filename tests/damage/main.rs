//! Damaged blobs and rows, wrong settings, and missing stores: the behaviour of scrub, restore and the next backup.

#[path = "../common/mod.rs"]
mod common;

#[path = "cases.rs"]
mod cases;

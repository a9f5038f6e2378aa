//! Damaged blobs and rows, wrong settings, and stores that are gone: what scrub, restore and the next backup make
//! of them.

#[path = "../common/mod.rs"]
mod common;

#[path = "cases.rs"]
mod cases;

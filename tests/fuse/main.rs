//! `backy2 fuse`: the tree, images on loop devices, writes that change no version, and wrong usage.

#[path = "../common/mod.rs"]
mod common;

mod disks;
mod ends;
mod mount;
mod tree;
mod workload;
mod wrong;

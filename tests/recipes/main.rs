//! The recipes of docs/jobs.md, with a real libvirt and a real LVM.

#[path = "../common/mod.rs"]
mod common;

mod libvirt;
mod lvm;
mod vm;

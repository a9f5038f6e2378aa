//! Kernel calls, C functions and processor instructions that need more than the standard library: block devices, memory
//! shortage, the process title, the page cache, making files, flushing folders and file systems, Ceph's block devices,
//! vector registers.
//!
//! All `unsafe` code is here and in the vector code of `hash` and `crypt`. Each file that has some says so at its top
//! and justifies every block.

pub(crate) mod append;
pub(crate) mod beneath;
pub(crate) mod cache;
pub(crate) mod ceph;
pub(crate) mod close;
pub(crate) mod device;
pub(crate) mod durable;
pub mod memory;
pub(crate) mod private;
pub(crate) mod space;
pub(crate) mod title;
pub(crate) mod trust;
pub(crate) mod whole;

//! Kernel calls, C functions and processor instructions that need more than the standard library: block devices, memory
//! shortage, the process title, the page cache, making files, flushing folders and file systems, Ceph's block devices,
//! vector registers.
//!
//! All `unsafe` code is here and in the vector code of `hash` and `crypt`. Each file that has some says so at its top
//! and justifies every block.

pub mod append;
pub mod beneath;
pub mod cache;
pub mod ceph;
pub mod close;
pub mod device;
pub mod durable;
pub mod memory;
pub mod private;
pub mod space;
pub mod title;
pub mod trust;
pub mod whole;

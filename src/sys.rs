//! The few calls of the kernel and of C libraries, and instructions, that need more than the standard library: block
//! devices, memory that is not to be had, the process title, the page cache, making files, flushing folders and file systems, Ceph's block devices, vector registers.
//!
//! `unsafe` stands here, and with the vector instructions of `hash`; each file that has some says so at its top and
//! argues for every block.

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

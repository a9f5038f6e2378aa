//! The few kernel calls and instructions that need more than the standard library: block devices, the process title,
//! the page cache, flushing folders and file systems.
//!
//! `unsafe` stands here, and with the vector instructions of `hash`; each file that has some says so at its top and
//! argues for every block.

pub mod cache;
pub mod device;
pub mod durable;
pub mod title;
pub mod vectors;

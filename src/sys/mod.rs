//! What only the kernel can do.
pub mod cache;
pub mod durable;

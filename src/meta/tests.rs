//! Tests of the metadata that concern both engines.

pub mod conformance;
mod explorer;
pub mod lab;

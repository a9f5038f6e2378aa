//! Tests of the metadata that concern both engines.

pub mod conformance;
pub mod explorer;
pub mod lab;

//! Servers of PostgreSQL for the tests of this crate itself: those of the other tests.
#![allow(dead_code)]

#[path = "../../tests/common/postgres.rs"]
pub mod postgres;
#[path = "../../tests/common/skip.rs"]
mod skipping;

use skipping::skip;

//! Servers of PostgreSQL for the tests of this crate itself: those of the other tests.
#![allow(dead_code)]

#[path = "../../../tests/common/postgres.rs"]
pub mod postgres;

use crate::skip::skip;

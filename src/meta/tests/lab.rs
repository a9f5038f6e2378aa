//! PostgreSQL servers for the unit tests, with the code of the other tests.
#![allow(dead_code)]

#[path = "../../../tests/common/postgres.rs"]
pub mod postgres;

use crate::skip::skip;

//! `backy2 nbd`: the protocol, real clients, copies of what is written, garbage, and wrong use.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod clients;
mod copies;
mod garbage;
mod protocol;
mod server;
mod usage;

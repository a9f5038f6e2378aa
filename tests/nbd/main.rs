//! `backy2 nbd`: the protocol, real clients, copies of what is written, garbage, neighbours, TLS, and wrong use.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod clients;
mod copies;
mod garbage;
mod neighbours;
mod protocol;
mod server;
mod tls;
mod usage;

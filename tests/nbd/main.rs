//! `backy2 nbd`: the protocol, real clients, copies of written data, garbage, other users, TLS, and wrong usage.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod clients;
mod copies;
mod forgery;
mod garbage;
mod neighbours;
mod protocol;
mod server;
mod tls;
mod usage;

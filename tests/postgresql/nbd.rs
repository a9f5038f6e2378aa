//! The parts of the NBD server that use the database: exports, and the copies that clients write.

#[path = "../nbd/client.rs"]
mod client;
#[path = "../nbd/copies.rs"]
mod copies;
#[path = "../nbd/protocol.rs"]
mod protocol;
// Some of its functions are not used here.
#[allow(dead_code)]
#[path = "../nbd/server.rs"]
mod server;

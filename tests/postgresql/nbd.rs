//! What the NBD server asks the database for: exports, and the copies that clients write.

#[path = "../nbd/client.rs"]
mod client;
#[path = "../nbd/copies.rs"]
mod copies;
#[path = "../nbd/protocol.rs"]
mod protocol;
// Not all of it is needed here.
#[allow(dead_code)]
#[path = "../nbd/server.rs"]
mod server;

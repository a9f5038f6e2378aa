//! Connections to PostgreSQL: addresses, encryption, and the meaning of failures.

mod address;
pub mod advisory;
mod connect;
mod failure;
mod guard;
mod messages;
mod passfile;
pub mod pem;
mod pooler;
mod session;
mod tls;

pub use address::{Address, Verify};
pub use connect::Failure;
pub use failure::{describe, is_lost, may_pass, reason};
pub use session::{Fence, Patience, Session, unique};

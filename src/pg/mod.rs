//! Connections to PostgreSQL: where, how encrypted, and what a failure means.

mod address;
mod failure;
mod passfile;
pub mod pem;
mod session;
mod tls;

pub use address::{Address, Verify};
pub use failure::{describe, is_lost, may_pass};
pub use session::{Failure, Fence, Patience, Session, unique};

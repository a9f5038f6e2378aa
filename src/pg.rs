//! Connections to PostgreSQL: addresses, encryption, and the meaning of failures.

mod address;
pub(crate) mod advisory;
mod connect;
mod failure;
mod guard;
mod messages;
mod passfile;
mod pooler;
mod session;
mod tls;

pub(crate) use address::Address;
pub(crate) use connect::Failure;
pub(crate) use failure::{describe, is_lost, may_pass, reason};
pub(crate) use session::{Fence, Patience, Session, unique};

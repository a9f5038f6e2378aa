//! Locks in an SQLite database. `meta` stores the rows, and this module decides which processes are still alive.

use crate::locks::{Holder, Register, Registered, Registration};
use crate::meta::claims::{Answer, Claim, Claims, Record};
use crate::types::error::Result;
use crate::types::lock::{Identity, Wish};
use crate::types::time::Timestamp;
use std::sync::Arc;

/// A process on another machine or in another container is known only from its rows. It counts as gone if it has
/// written nothing for this many seconds. Its lock files stay in force.
const UNHEARD: i64 = 300;

/// Registers locks in an SQLite file.
#[derive(Debug)]
pub(super) struct FileRegister {
    claims: Claims,
    identity: Identity,
    record: Record,
}

impl FileRegister {
    /// `record` is for exclusive locks. Shared locks need no row.
    pub(super) fn new(claims: Claims, record: Record) -> Self {
        FileRegister { claims, identity: Identity::own(), record }
    }

    fn is_gone(&self, claim: &Claim) -> bool {
        let (me, by) = (&self.identity, &claim.by);
        if by.machine == me.machine {
            return !Identity::is_alive(by.pid, by.started);
        }
        let boot = |machine: &str| machine.split(' ').next().unwrap_or_default().to_owned();
        let restarted = by.host == me.host && boot(&by.machine) != boot(&me.machine);
        restarted || (Timestamp::now().unix() - claim.heard).abs() > UNHEARD
    }
}

fn holder(claim: Claim) -> Holder {
    let Claim { name, exclusive, by: Identity { host, pid, command, .. }, since, .. } = claim;
    Holder { name, exclusive, host, pid, command, since: Some(Timestamp::from_unix(since)), heard: None }
}

/// A lock row. Dropping this deletes the row.
#[derive(Debug)]
struct Lock {
    row: i64,
    register: Arc<FileRegister>,
}

impl Registered for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.register.claims.release(self.row);
    }
}

/// A lock without a row, because the row could not be written.
#[derive(Debug)]
struct FileOnly;

impl Registered for FileOnly {}

impl Register for FileRegister {
    fn take(self: Arc<Self>, wish: &Wish<'_>) -> Result<Registration> {
        let record = if wish.hold.is_exclusive() { self.record } else { Record::Optional };
        Ok(match self.claims.take(wish, record, &|claim| self.is_gone(claim))? {
            Answer::Granted(row) => {
                Registration::Granted(Box::new(Lock { row, register: Arc::clone(&self) }))
            }
            Answer::Unwritten => Registration::Granted(Box::new(FileOnly)),
            Answer::Refused(claim) => Registration::Refused(holder(claim)),
        })
    }

    fn holder_alone(&self, name: &str) -> Result<Option<Holder>> {
        Ok(self.claims.holder_of(name, &|claim| self.is_gone(claim))?.map(holder))
    }

    fn list(&self) -> Result<Vec<Holder>> {
        Ok(self.claims.list(&|claim| self.is_gone(claim))?.into_iter().map(holder).collect())
    }

    fn dead(&self) -> Result<Vec<Holder>> {
        Ok(self.claims.list(&|claim| !self.is_gone(claim))?.into_iter().map(holder).collect())
    }
}

//! Locks in an SQLite database. `meta` stores the rows, and this module decides which processes are still alive.

use crate::locks::verbs::GLOBAL;
use crate::locks::{Hold, Holder, Identity, Register, Registered, Registration};
use crate::meta::claims::{Claim, Claimant, Claims, Taken, Wish};
use crate::types::error::Result;
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
    wait: bool,
}

impl FileRegister {
    /// If `wait` is true, taking an exclusive lock waits for other writers of the database.
    pub(super) fn new(claims: Claims, wait: bool) -> Self {
        FileRegister { claims, identity: Identity::own(), wait }
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
    let Claim { name, exclusive, by: Claimant { host, pid, command, .. }, since, .. } = claim;
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
    fn take(self: Arc<Self>, name: &str, hold: Hold) -> Result<Registration> {
        let Identity { host, machine, pid, started, .. } = self.identity.clone();
        let by = Claimant { host, machine, pid, started, command: Identity::title() };
        let exclusive = hold.is_exclusive();
        let (alone, wait) = (hold == Hold::Sole, self.wait && exclusive);
        let wish = Wish { name, exclusive, alone, global: GLOBAL, by: &by, wait };
        Ok(match self.claims.take(&wish, &|claim| self.is_gone(claim))? {
            Taken::Granted(row) => Registration::Granted(Box::new(Lock { row, register: Arc::clone(&self) })),
            Taken::Unwritten => Registration::Granted(Box::new(FileOnly)),
            Taken::Refused(claim) => Registration::Refused(holder(claim)),
        })
    }

    fn holder_alone(&self, name: &str) -> Result<Option<Holder>> {
        Ok(self.claims.holder_of(name, &|claim| self.is_gone(claim))?.map(holder))
    }

    fn list(&self) -> Result<Vec<Holder>> {
        Ok(self.claims.list(&|claim| self.is_gone(claim))?.into_iter().map(holder).collect())
    }
}

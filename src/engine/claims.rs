//! Locks in a database of SQLite: the rows (`meta`), and whose rows count (`locks`).

use crate::locks::verbs::GLOBAL;
use crate::locks::{Holder, Identity, Register, Registered};
use crate::meta::claims::{Claim, Claimant, Claims, Taken, Wish};
use crate::types::error::Result;
use crate::types::time::Timestamp;
use std::sync::Arc;

/// A process that nothing but its rows tells of (it runs in another container, say) is gone when it has written nothing
/// for so many seconds. Its lock files hold on.
const UNHEARD: i64 = 300;

/// Registers locks in a file of SQLite.
#[derive(Debug)]
pub(super) struct FileRegister {
    claims: Claims,
    identity: Identity,
    wait: bool,
}

impl FileRegister {
    /// With `wait` a lock waits for others who write to the database.
    pub fn new(claims: Claims, wait: bool) -> Self {
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

/// A row, until this is dropped.
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

/// A lock that could not be written down.
#[derive(Debug)]
struct FileOnly;

impl Registered for FileOnly {}

impl Register for FileRegister {
    fn take(
        self: Arc<Self>,
        name: &str,
        exclusive: bool,
        alone: bool,
    ) -> Result<std::result::Result<Box<dyn Registered>, Holder>> {
        let Identity { host, machine, pid, started, .. } = self.identity.clone();
        let by = Claimant { host, machine, pid, started, command: Identity::title() };
        let wish = Wish { name, exclusive, alone, global: GLOBAL, by: &by, wait: self.wait && exclusive };
        Ok(match self.claims.take(&wish, &|claim| self.is_gone(claim))? {
            Taken::Granted(row) => Ok(Box::new(Lock { row, register: Arc::clone(&self) })),
            Taken::Unwritten => Ok(Box::new(FileOnly)),
            Taken::Refused(claim) => Err(holder(claim)),
        })
    }

    fn holder_alone(&self, name: &str) -> Result<Option<Holder>> {
        Ok(self.claims.holder_of(name, &|claim| self.is_gone(claim))?.map(holder))
    }

    fn list(&self) -> Result<Vec<Holder>> {
        Ok(self.claims.list(&|claim| self.is_gone(claim))?.into_iter().map(holder).collect())
    }
}

//! Makes sure that a transaction may be committed, and finds out whether it was.
//!
//! A process that holds locks has a row in `writers` for each of its connections. The row is deleted together with
//! the registration of the process. Each transaction first writes a token into that row. This has two effects:
//! - A process that was declared dead has no row, so it cannot commit anything. A process cannot be declared dead
//!   during a transaction, because that transaction has locked the row.
//! - After a commit without an answer, the next transaction checks whether the token is there. If the server is still
//!   committing, the row is locked and the check waits. (A transaction number would not do, because it may be used
//!   again after a crash.)
//!
//! A process without locks makes only changes that may be repeated, such as a tag or an expiry.

use super::db::Statements;
use crate::meta::sql::Fallible;
use crate::pg::{Fence, unique};
use postgres::{Client, Transaction};

/// Identifies a connection for writing.
pub(super) struct Writer {
    /// The random number of the row.
    id: i64,
    fence: Fence,
    /// The registration that the row belongs to.
    enrolled: Option<i64>,
}

/// The result of signing a transaction.
pub(super) enum Signed {
    /// The transaction has written this token.
    With(i64),
    /// The doubtful transaction was committed.
    Before,
    /// The registration no longer exists.
    Buried,
}

impl Writer {
    pub(super) fn new(fence: Fence) -> Self {
        Writer { id: unique(), fence, enrolled: None }
    }

    /// Creates the row when this process holds locks. It uses its own transaction, so that the row exists even if
    /// later ones fail.
    pub(super) fn enrol(&mut self, client: &mut Client) -> Result<(), postgres::Error> {
        let holder = self.fence.holder();
        if let Some(holder) = holder
            && self.enrolled != Some(holder)
        {
            client.execute(
                "INSERT INTO writers (id, holder, token) SELECT $1, id, 0 FROM lock_holders WHERE id = $2
                 ON CONFLICT DO NOTHING",
                &[&self.id, &holder],
            )?;
        }
        self.enrolled = holder;
        Ok(())
    }

    /// Writes a new token, unless the token of the doubtful transaction is found.
    pub(super) fn sign(
        &self,
        statements: &mut Statements<'_, Transaction<'_>>,
        doubtful: Option<i64>,
    ) -> Fallible<Signed> {
        let token = unique();
        if self.enrolled.is_none() {
            return Ok(Signed::With(token));
        }
        if let Some(doubtful) = doubtful {
            let rows = statements.ask("SELECT token FROM writers WHERE id = ?1 FOR UPDATE", &[&self.id])?;
            let left: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?;
            if left == Some(doubtful) {
                return Ok(Signed::Before);
            }
        }
        let signed = statements.run("UPDATE writers SET token = ?1 WHERE id = ?2", &[&token, &self.id])?;
        Ok(if signed > 0 { Signed::With(token) } else { Signed::Buried })
    }
}

//! Making sure that a transaction may be committed, and whether it was.
//!
//! A process that holds locks has a row in `writers` for each of its connections, which goes with its registration.
//! Each of its transactions first puts a token into that row:
//! - Who was taken for dead has no row, and commits nothing. Nobody can be taken for dead while a transaction of his
//!   runs, as its row is locked.
//! - After a commit without an answer the next transaction finds the token, or not. Should the server still be at it, the
//!   row is locked, and one waits. (The number of a transaction would not do: after a crash it may be given again.)
//!
//! A process without locks changes nothing that cannot be done twice: a tag, an expiry.

use super::db::Statements;
use crate::meta::sql::Fallible;
use crate::pg::{Fence, unique};
use postgres::{Client, Transaction};

/// The writing side of a connection.
pub(super) struct Writer {
    /// The row's number, at random.
    id: i64,
    fence: Fence,
    /// The registration that the row belongs to.
    enrolled: Option<i64>,
}

/// What has become of a signature.
pub(super) enum Signed {
    /// The transaction has left this token.
    With(i64),
    /// The doubtful transaction has been committed.
    Before,
    /// The registration is gone.
    Buried,
}

impl Writer {
    pub fn new(fence: Fence) -> Self {
        Writer { id: unique(), fence, enrolled: None }
    }

    /// Makes the row, once this process holds locks. In a transaction of its own, so that it is there whatever becomes of
    /// the next ones.
    pub fn enrol(&mut self, client: &mut Client) -> Result<(), postgres::Error> {
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

    /// Leaves a new token, unless the one of a doubtful transaction is there.
    pub fn sign(
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

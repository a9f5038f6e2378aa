//! The statements about holders and their locks in a shared database. Its tables are made with the others of the
//! metadata.

use super::Hold;
use super::holders::{Holder, Identity};
use super::verbs::GLOBAL;
use crate::pg::advisory;
use crate::types::time::Timestamp;
use chrono::NaiveDateTime;
use postgres::{Client, Row, Transaction};

type Result<T> = std::result::Result<T, postgres::Error>;

/// After so long without a heartbeat a holder is dead, in seconds.
pub(super) const DEAD: f64 = 60.0;

/// A wish for a lock.
pub(super) struct Wish<'w> {
    /// What it gets for a number, at random.
    pub id: i64,
    /// Name of the lock.
    pub name: &'w str,
    /// How it is to be held.
    pub hold: Hold,
}

/// What has become of a wish.
pub(super) enum Answer {
    Granted,
    Refused(Holder),
    /// The registration of this process is gone.
    Buried,
}

/// Takes a lock for the holder `me`, which is registered if it is not yet.
pub(super) fn take(
    client: &mut Client,
    me: i64,
    registered: bool,
    identity: &Identity,
    wish: &Wish<'_>,
) -> Result<Answer> {
    let mut t = client.transaction()?;
    // One transaction at a time takes a lock.
    t.batch_execute(&advisory::Lock::Registering.statement())?;
    bury(&mut t, me, identity)?;
    // An earlier attempt whose answer was lost may have done it.
    if !t.query("SELECT 1 FROM locks WHERE id = $1", &[&wish.id])?.is_empty() {
        return Ok(Answer::Granted);
    }
    let here = t.execute("UPDATE lock_holders SET heartbeat = clock_timestamp() WHERE id = $1", &[&me])? > 0;
    match (registered, here) {
        (_, true) => {}
        (true, false) => return Ok(Answer::Buried),
        (false, false) => {
            t.execute(
                "INSERT INTO lock_holders (id, host, machine, pid, started, command) VALUES ($1, $2, $3, $4, $5, $6)",
                &[
                    &me,
                    &identity.host,
                    &identity.machine,
                    &i64::from(identity.pid),
                    &(identity.started as i64),
                    &identity.command,
                ],
            )?;
        }
    }
    let conflict = t.query_opt(
        &format!(
            "{HOLDERS} WHERE (l.name = $1 AND (l.exclusive OR $2))
                OR (l.name = $4 AND l.exclusive AND l.holder <> $5) OR ($3 AND l.holder <> $5)
             ORDER BY l.name <> $1, l.since LIMIT 1"
        ),
        &[&wish.name, &wish.hold.is_exclusive(), &(wish.hold == Hold::Sole), &GLOBAL, &me],
    )?;
    if let Some(row) = conflict {
        let holder = holder(&row)?;
        // The registration stays.
        t.commit()?;
        return Ok(Answer::Refused(holder));
    }
    t.execute(
        "INSERT INTO locks (id, name, exclusive, holder) VALUES ($1, $2, $3, $4)",
        &[&wish.id, &wish.name, &wish.hold.is_exclusive(), &me],
    )?;
    t.commit()?;
    Ok(Answer::Granted)
}

/// Removes the dead. Their commits that are under way end first.
fn bury(t: &mut Transaction<'_>, me: i64, identity: &Identity) -> Result<()> {
    // Nobody could be heard while the server was down: the time counts from its start.
    t.execute(
        "DELETE FROM lock_holders
         WHERE id <> $1 AND greatest(heartbeat, pg_postmaster_start_time()) < clock_timestamp() - make_interval(secs => $2)",
        &[&me, &DEAD],
    )?;
    let here = t.query(
        "SELECT id, pid, started FROM lock_holders WHERE machine = $1 AND id <> $2",
        &[&identity.machine, &me],
    )?;
    for row in here {
        let (pid, started): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        // The kernel knows at once.
        if !u32::try_from(pid).is_ok_and(|pid| Identity::is_alive(pid, started as u64)) {
            t.execute("DELETE FROM lock_holders WHERE id = $1", &[&row.try_get::<_, i64>(0)?])?;
        }
    }
    Ok(())
}

const HOLDERS: &str = "SELECT l.name, l.exclusive, h.host, h.pid, h.command, l.since AT TIME ZONE 'UTC',
        CAST(greatest(extract(epoch FROM clock_timestamp() - h.heartbeat), 0) AS BIGINT)
     FROM locks l JOIN lock_holders h ON h.id = l.holder";

fn holder(row: &Row) -> Result<Holder> {
    let pid: i64 = row.try_get(3)?;
    let heard: i64 = row.try_get(6)?;
    Ok(Holder {
        name: row.try_get(0)?,
        exclusive: row.try_get(1)?,
        host: row.try_get(2)?,
        pid: u32::try_from(pid).unwrap_or_default(),
        command: row.try_get(4)?,
        since: Some(Timestamp::from_naive(row.try_get::<_, NaiveDateTime>(5)?)),
        heard: Some(heard.unsigned_abs()),
    })
}

/// Who holds the lock `name` alone. The dead are buried only if there is somebody.
pub(super) fn holder_of(client: &mut Client, identity: &Identity, name: &str) -> Result<Option<Holder>> {
    let sql = format!("{HOLDERS} WHERE l.name = $1 AND l.exclusive LIMIT 1");
    if client.query_opt(&sql, &[&name])?.is_none() {
        return Ok(None);
    }
    let mut t = client.transaction()?;
    t.batch_execute(&advisory::Lock::Registering.statement())?;
    bury(&mut t, 0, identity)?;
    let holder = t.query_opt(&sql, &[&name])?.map(|row| holder(&row)).transpose()?;
    t.commit()?;
    Ok(holder)
}

/// All locks that are registered, also those of the dead that nobody has buried yet.
pub(super) fn list(client: &mut Client) -> Result<Vec<Holder>> {
    client.query(&format!("{HOLDERS} ORDER BY l.since"), &[])?.iter().map(holder).collect()
}

/// Tells that the holder is alive, and what it is at. `false`: it was taken for dead.
pub(super) fn beat(client: &mut Client, me: i64) -> Result<bool> {
    let sql = "UPDATE lock_holders SET heartbeat = clock_timestamp(), command = $2 WHERE id = $1";
    Ok(client.execute(sql, &[&me, &Identity::title()])? > 0)
}

pub(super) fn release(client: &mut Client, locks: &[i64]) -> Result<()> {
    client.execute("DELETE FROM locks WHERE id = ANY ($1)", &[&locks])?;
    Ok(())
}

/// Ends the registration, with all locks.
pub(super) fn leave(client: &mut Client, me: i64) -> Result<()> {
    client.execute("DELETE FROM lock_holders WHERE id = $1", &[&me])?;
    Ok(())
}

//! The SQL for locks and their holders in a database on PostgreSQL. `meta` creates the tables with those of the metadata.

use super::holders::Holder;
use crate::pg::advisory;
use crate::types::lock::{GLOBAL, Hold, Identity, Wish};
use crate::types::time::Timestamp;
use chrono::NaiveDateTime;
use postgres::{Client, Row, Transaction};

type Result<T> = std::result::Result<T, postgres::Error>;

/// A holder without a heartbeat for this many seconds is dead.
pub(super) const DEAD: f64 = 60.0;

/// The registration of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Enrolment {
    /// The number of the registration, which is random.
    pub holder: i64,
    /// Whether it was made before.
    pub exists: bool,
}

/// The answer to a wish.
pub(super) enum Answer {
    Granted,
    Refused(Holder),
    /// Other processes took this one for dead and removed its registration.
    Buried,
}

/// Takes a lock and gives it the number `id`, which is random. Registers this process if it is not registered yet.
pub(super) fn take(client: &mut Client, enrolment: Enrolment, id: i64, wish: &Wish<'_>) -> Result<Answer> {
    let (me, identity) = (enrolment.holder, wish.by);
    let mut t = client.transaction()?;
    // Only one transaction at a time may take a lock.
    t.batch_execute(&advisory::Lock::Registering.statement())?;
    bury(&mut t, me, identity)?;
    // An earlier attempt may have taken the lock without getting an answer.
    if !t.query("SELECT 1 FROM locks WHERE id = $1", &[&id])?.is_empty() {
        return Ok(Answer::Granted);
    }
    let here = t.execute("UPDATE lock_holders SET heartbeat = clock_timestamp() WHERE id = $1", &[&me])? > 0;
    match (enrolment.exists, here) {
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
        &[&id, &wish.name, &wish.hold.is_exclusive(), &me],
    )?;
    t.commit()?;
    Ok(Answer::Granted)
}

/// Removes dead holders. Waits for those of their commits that are under way.
fn bury(t: &mut Transaction<'_>, me: i64, identity: &Identity) -> Result<()> {
    // While the server was down, no heartbeat could arrive. So the time counts from its start.
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
        // The kernel knows without a delay.
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

/// The holder of the exclusive lock `name`. Removes dead holders only if there is such a lock.
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

/// All registered locks, also those of dead holders that were not removed yet.
pub(super) fn list(client: &mut Client) -> Result<Vec<Holder>> {
    client.query(&format!("{HOLDERS} ORDER BY l.since"), &[])?.iter().map(holder).collect()
}

/// The locks of processes that are dead, and that no other process has buried yet.
pub(super) fn dead(client: &mut Client, identity: &Identity) -> Result<Vec<Holder>> {
    // As in `bury`.
    let silent =
        "greatest(h.heartbeat, pg_postmaster_start_time()) < clock_timestamp() - make_interval(secs => $1)";
    let from = format!(", h.machine, h.started, {silent} FROM locks l");
    let rows = client.query(&HOLDERS.replace("FROM locks l", &from), &[&DEAD])?;
    let mut dead = Vec::new();
    for row in &rows {
        let (machine, started): (String, i64) = (row.try_get(7)?, row.try_get(8)?);
        let holder = holder(row)?;
        let gone = machine == identity.machine && !Identity::is_alive(holder.pid, started as u64);
        if gone || row.try_get(9)? {
            dead.push(holder);
        }
    }
    Ok(dead)
}

/// Records that the holder is alive, and its present title. Returns `false` if others took it for dead.
pub(super) fn beat(client: &mut Client, me: i64) -> Result<bool> {
    let sql = "UPDATE lock_holders SET heartbeat = clock_timestamp(), command = $2 WHERE id = $1";
    Ok(client.execute(sql, &[&me, &Identity::title()])? > 0)
}

/// Releases these locks.
pub(super) fn release(client: &mut Client, locks: &[i64]) -> Result<()> {
    client.execute("DELETE FROM locks WHERE id = ANY ($1)", &[&locks])?;
    Ok(())
}

/// Removes the registration and all of its locks.
pub(super) fn leave(client: &mut Client, me: i64) -> Result<()> {
    client.execute("DELETE FROM lock_holders WHERE id = $1", &[&me])?;
    Ok(())
}

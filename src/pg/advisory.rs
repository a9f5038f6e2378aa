//! The advisory locks of the program, which last until the end of a transaction. Their numbers are a part of the
//! protocol between all processes that share a database, and one of them stands in `src/meta/postgres/schema.sql`.

/// First number of each lock: the letters `back`. The second number is that of a [`Lock`].
pub(crate) const CLASS: i32 = 0x6261_636b;

/// A lock, named after the work that it protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Lock {
    /// Held exclusively by transactions that remove rows of versions.
    Removing = 1,
    /// Held shared by transactions that insert blobs under existing uids, and exclusively by those that doom such uids.
    /// The trigger of the view takes it too.
    Naming = 2,
    /// Held exclusively by transactions that change the schema.
    Upgrading = 3,
    /// Held exclusively by transactions that take a lock of the `locks` module.
    Registering = 4,
    /// Held exclusively by transactions that mark blobs, and shared by those that check that no blob of a version is
    /// marked.
    Marking = 5,
    /// Held exclusively by transactions that record which list holds the copies of which blobs.
    Covering = 6,
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Together with other transactions.
    Shared,
    /// By one transaction.
    Exclusive,
}

impl Lock {
    /// Its second number.
    pub(crate) fn number(self) -> i32 {
        self as i32
    }

    /// The statement that waits for the lock and takes it exclusively.
    pub(crate) fn statement(self) -> String {
        format!("SELECT pg_advisory_xact_lock({CLASS}, {})", self.number())
    }
}

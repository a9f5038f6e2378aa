//! Locks between processes, as the layer of locks takes them and databases store them.

/// The name of the lock that a process holds exclusively to keep all others out.
pub const GLOBAL: &str = "backy";

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Together with other holders.
    Shared,
    /// By one holder.
    Exclusive,
    /// By one holder, while no other process holds any lock in the database.
    Sole,
}

impl Hold {
    /// Whether nobody else may hold the same lock.
    pub fn is_exclusive(self) -> bool {
        self != Hold::Shared
    }
}

/// A process, as other processes that share the database see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Host name.
    pub host: String,
    /// Identifies a boot of a kernel and a PID namespace.
    pub machine: String,
    /// Process id in that namespace.
    pub pid: u32,
    /// Start time of the process, in ticks since boot, because process ids are used again.
    pub started: u64,
    /// The title of the process.
    pub command: String,
}

/// A request for a lock.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'w> {
    /// Name of the lock.
    pub name: &'w str,
    /// How it is to be held.
    pub hold: Hold,
    /// The process that requests the lock.
    pub by: &'w Identity,
}

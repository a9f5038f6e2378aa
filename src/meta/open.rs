//! Creates and opens the database that the configuration names, with either engine.

use super::{Metadata, claims::Claims, postgres, sqlite, url::DatabaseUrl};
use crate::monitor::{Handle, Monitor};
use crate::pg::{Address, Fence};
use crate::types::error::Result;
use crate::types::settings::FileMode;
use std::path::Path;

/// The use that a command makes of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Finds out which other processes there are. This is allowed even while another process needs to be alone.
    Observe,
    /// Lists versions, tags or statistics, which a database of 2.13 has in the same form.
    Catalogue,
    /// As `Catalogue`, and allowed even while another process needs to be alone.
    Glance,
    /// Reads blocks; may mark some as bad.
    Read,
    /// Changes versions.
    Write,
    /// Removes versions, even if the disk of the database is full.
    Remove,
    /// Deletes data, even if the disk is full.
    Clean,
    /// Copies everything into another database, and leaves this one as it is.
    Copy,
}

impl Access {
    /// Whether the command needs a database that can be written.
    pub fn writes(self) -> bool {
        matches!(self, Access::Write | Access::Remove | Access::Clean)
    }

    /// Whether the command reads no table that a database of 2.13 has in another form.
    pub fn only_lists(self) -> bool {
        matches!(self, Access::Catalogue | Access::Glance)
    }

    /// Whether the command may write. A command that reads blocks marks the bad ones.
    pub fn may_change(self) -> bool {
        self == Access::Read || self.writes()
    }
}

/// A database that is ready for a command.
pub struct Opened {
    /// The database.
    pub metadata: Metadata,
    /// The tables in which locks are registered.
    pub register: LockTables,
}

/// The tables of a database for the locks of the installation, which it has beside the lock files.
pub enum LockTables {
    /// No tables: the database is of an older release, or a copy that no other process sees.
    None,
    /// The table of a file.
    File(Claims),
    /// The tables of a server. Each transaction of the opened database checks the fence.
    Server {
        /// The server.
        address: Box<Address>,
        /// The caller sets it after it has registered this process.
        fence: Fence,
    },
}

/// Opens the database at `url` for a command. A database of an older release is upgraded first. If it cannot be
/// written, a temporary copy in `cachedir` is upgraded instead. `alone` takes exclusive use of the installation for an
/// upgrade. Dropping its result gives the use back.
///
/// # Errors
/// The URL is not valid; the database is missing, not initialised or unusable; the errors of `alone`; a signal.
pub fn open<G>(
    url: &str,
    access: Access,
    cachedir: &Path,
    monitor: &dyn Monitor,
    alone: impl FnOnce() -> Result<G>,
) -> Result<Opened> {
    match DatabaseUrl::parse(url)? {
        DatabaseUrl::File(path) => sqlite::access::open(&path, access, cachedir, monitor, alone),
        DatabaseUrl::Server(address) => postgres::access::open(address, access, monitor, alone),
    }
}

/// Creates the tables of an empty database. A file is created with `mode`. A signal seen by `monitor` ends the wait for
/// a server.
///
/// # Errors
/// [`crate::types::Error::Refused`]: the database has tables already. Nothing is changed then.
pub fn create(url: &DatabaseUrl, mode: FileMode, monitor: Handle) -> Result<()> {
    match url {
        DatabaseUrl::File(path) => sqlite::initialise(path, mode),
        DatabaseUrl::Server(address) => postgres::initialise(address, monitor),
    }
}

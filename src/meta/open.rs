//! Making and opening the database that the configuration names, whichever engine it has.

use super::{Metadata, claims::Claims, postgres, sqlite, url::DatabaseUrl};
use crate::monitor::{Handle, Monitor};
use crate::pg::{Address, Fence};
use crate::types::error::Result;
use crate::types::settings::FileMode;
use std::path::Path;

/// What a command does with the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Looks which other processes there are. It may do so even while another process needs to be alone.
    Observe,
    /// Lists versions, tags or statistics: nothing that a database of 2.13 does not have in the same form.
    Catalogue,
    /// Reads blocks; may mark some as bad.
    Read,
    /// Changes versions.
    Write,
    /// Removes versions, also where the disk of the database is full.
    Remove,
    /// Deletes data, also where the disk is full.
    Clean,
    /// Copies everything into another database, and leaves this one as it is.
    Copy,
}

impl Access {
    /// Whether the command is of no use on a database that cannot be written.
    pub fn writes(self) -> bool {
        matches!(self, Access::Write | Access::Remove | Access::Clean)
    }

    /// Whether the command may write anything. One that reads blocks marks those that it finds bad.
    pub fn may_change(self) -> bool {
        self == Access::Read || self.writes()
    }
}

/// A database that is ready for a command.
pub struct Opened {
    /// The database.
    pub metadata: Metadata,
    /// Where locks are registered in it.
    pub register: LockTables,
}

/// Where a database has the locks of the installation, beside the lock files.
pub enum LockTables {
    /// Nowhere: it is of an older release, or a copy that nobody else sees.
    None,
    /// In the table of a file.
    File(Claims),
    /// In the tables of a server. Each transaction of the database that was opened checks the fence.
    Server {
        /// The server.
        address: Box<Address>,
        /// To be set by the process that has registered itself.
        fence: Fence,
    },
}

/// Opens the database that `url` names for a command. One of an older release is upgraded first, or, where it cannot be
/// written, copied into a temporary file in `cachedir` that is upgraded. `alone` takes exclusive use of the installation
/// for an upgrade, and gives it back when its result is dropped.
///
/// # Errors
/// The URL is none; the database is missing, not initialised or unusable; what `alone` says; a signal.
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

/// Makes the tables of an empty database. A file is made with `mode`. A signal that `monitor` knows of ends the wait for a
/// server.
///
/// # Errors
/// [`crate::types::Error::Refused`]: it has tables already; then nothing is changed.
pub fn create(url: &DatabaseUrl, mode: FileMode, monitor: Handle) -> Result<()> {
    match url {
        DatabaseUrl::File(path) => sqlite::initialise(path, mode),
        DatabaseUrl::Server(address) => postgres::initialise(address, monitor),
    }
}

//! Self-contained installations: a folder with configuration, key, database and data.

use crate::config;
use crate::failpoint;
use crate::meta::{self, Begun, url::DatabaseUrl};
use crate::monitor::Handle;
use crate::sys::durable::sync_folder;
use crate::sys::private;
use crate::sys::trust::{self, Doubt};
use crate::sys::whole::Whole;
use crate::types::error::{Error, Result};
use crate::types::hex::to_hex;
use crate::types::object::ObjectName;
use crate::types::reason::{Reason, because};
use crate::types::remedy::Remedy;
use crate::types::settings::FileMode;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const CONFIG: &str = "backy.cfg";
const DATABASE: &str = "backy.sqlite";
/// The folder of the data store.
const DATA: &str = "data";
const FOLDERS: [&str; 3] = [DATA, "lock", "cache"];
/// New file systems contain a folder with this name.
const LOST: &str = "lost+found";

/// The result of creating an installation.
#[derive(Debug)]
pub struct Made {
    /// The permissions of the folder before, if other users could read it.
    pub was_open: Option<u32>,
}

/// Creates a self-contained installation in `folder`: configuration with a new key, database, data. It writes the
/// configuration last and atomically, so its presence shows that everything is there. It reuses remains of an earlier
/// attempt.
///
/// # Errors
/// The folder is not empty, belongs to another user, is writable by others, or cannot be created.
pub fn folder(folder: &Path) -> Result<Made> {
    let failed = |what: &str, e: io::Error| {
        let what = format!("cannot make {what} in {}", folder.display());
        Error::refused(because(what, e).advise("Fix that and run `init` again: it continues."))
    };
    private::make_folders(folder, FileMode::PRIVATE).map_err(|e| failed("the folder", e))?;
    let folder = fs::canonicalize(folder).map_err(|e| failed("an installation", e))?;
    if folder.to_str().is_none() {
        let why = "its name is not UTF-8. Choose another name";
        return Err(Error::refused(format!("cannot make an installation in {}: {why}.", folder.display())));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened =
        rustix::fs::open(&folder, flags, Mode::empty()).map_err(|e| failed("an installation", e.into()))?;
    let opened = File::from(opened);
    let found = opened.metadata().map_err(|e| failed("an installation", e))?;
    if let Some(doubt) = trust::of_empty_folder(&folder, &found) {
        return Err(foreign(&folder, &doubt));
    }
    refuse_others(&folder)?;
    let was_open = (found.mode() & 0o077 != 0).then_some(found.mode() & 0o7777);
    if was_open.is_some() {
        rustix::fs::fchmod(&opened, Mode::RWXU).map_err(|e| failed("a private folder", e.into()))?;
    }
    for part in FOLDERS {
        match private::make_folder(&folder.join(part), FileMode::PRIVATE) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(failed(part, e)),
            _ => failpoint::pass("init-folder"),
        }
    }
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).map_err(|e| Error::internal(because("no random numbers for a key", e)))?;
    let text = config::folder_template(&to_hex(&key));
    let database = folder.join(DATABASE);
    if meta::begun(&database) == Begun::Nothing {
        meta::create(&DatabaseUrl::File(database), FileMode::PRIVATE, Handle::silent())?;
    }
    failpoint::pass("init-database");
    Whole::begin(&folder.join(CONFIG), FileMode::PRIVATE)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.finish_new()))
        .and_then(|()| sync_folder(folder.parent().unwrap_or(&folder)))
        .map_err(|e| failed(CONFIG, e))?;
    Ok(Made { was_open })
}

fn foreign(folder: &Path, doubt: &Doubt) -> Error {
    let shown = folder.display();
    Error::refused(match doubt {
        Doubt::FolderWritable(_, mode) => format!(
            "Others can write to {shown} (mode {mode:04o}), and could replace the new configuration. Run \
             `chmod 700 {shown}`."
        ),
        _ => format!(
            "{shown} belongs to another user, who could replace the new configuration. Run `init` as that \
             user, or change the owner with `chown`."
        ),
    })
}

/// Refuses a folder that contains anything except remains of an earlier attempt.
fn refuse_others(folder: &Path) -> Result<()> {
    let unreadable =
        |e: io::Error| Error::refused(because(format!("{} cannot be read", folder.display()), e));
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !is_left_over(&path).map_err(unreadable)? {
            let name = path.file_name().unwrap_or_default().display();
            let reason = Reason::from(format!(
                "{} is not empty: it contains {name}. `init` makes an installation only in a new or empty \
                 folder.",
                folder.display()
            ));
            let has_store = private::is_taken(&folder.join(DATA).join(ObjectName::Identity.to_string()));
            return Err(Error::refused(match has_store.then_some(Remedy::RebuildDatabase) {
                Some(remedy) => reason.remedy(remedy),
                None => reason,
            }));
        }
    }
    // An earlier release left an empty configuration if the disk was full.
    match fs::remove_file(folder.join(CONFIG)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(unreadable(e)),
        _ => Ok(()),
    }
}

/// Whether this entry was left by an incomplete attempt, or belongs to a new file system.
fn is_left_over(path: &Path) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_empty = || Ok::<_, io::Error>(fs::read_dir(path)?.next().is_none());
    Ok(match &name[..] {
        LOST => metadata.is_dir(),
        part if FOLDERS.contains(&part) => metadata.is_dir() && is_empty()?,
        CONFIG => metadata.is_file() && metadata.len() == 0,
        // The content of the database decides.
        DATABASE => metadata.is_file() && meta::begun(path) != Begun::Used,
        other => {
            let of_database =
                ["-journal", "-wal", "-shm"].iter().any(|end| other == format!("{DATABASE}{end}"));
            let of_config = other.starts_with(&format!(".{CONFIG}.")) && other.ends_with(".tmp");
            metadata.is_file() && (of_database || of_config)
        }
    })
}

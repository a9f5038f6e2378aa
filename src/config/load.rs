//! Finds the configuration files and reads them.

use super::raw::{INHERITED, Raw};
use super::settings::settings;
use super::values::Keys;
use super::{Config, Origin, Places, copied, ini, toml};
use crate::sys::trust::{self, Accept, Doubt, Opened};
use crate::types::reason::{Reason, because};
use crate::types::remedy::Remedy;
use crate::types::{Error, Result};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The name of the file, except in the home folder.
pub(super) const NAME: &str = "backy.cfg";
/// The largest configuration in bytes, so that reading a device ends.
const MAX_SIZE: u64 = 1 << 20;
/// The sections and keys whose values should not be readable by everybody.
const CONFIDENTIAL: [(&str, &str); 2] =
    [("DEFAULTS", "encryption_key"), ("DataBackend", "aws_secret_access_key")];

/// Where relative paths in a file begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RelativeTo {
    /// The current folder, as in 2.13.
    Current,
    /// The folder of the file.
    Folder,
}

/// The values of `relative_paths`.
const RELATIVE_TO: [(&str, RelativeTo); 2] =
    [("current", RelativeTo::Current), ("folder", RelativeTo::Folder)];

/// Reads the configuration and checks it.
///
/// `places` are those of the user. Without a home folder, `~/.backy.cfg` is not searched.
///
/// # Errors
/// [`Error::Config`]. The text names file, section, key and value, but never a secret key or a password.
pub fn load(origin: &Origin, places: &Places) -> Result<Config> {
    match origin {
        Origin::Search => search(Path::new("/etc"), places, Path::new(".")),
        Origin::File(path) => explicit(path, places, Remedy::NameExistingConfig),
        Origin::Folder(folder) => {
            let remedy = Remedy::MakeInstallation(folder.clone());
            let config = explicit(&folder.join(NAME), places, remedy)?;
            copied::refuse(folder, &config)?;
            Ok(config)
        }
    }
}

/// A file that was read.
struct Found {
    raw: Raw,
    /// The permission bits of the file, if it is a regular file.
    mode: Option<u32>,
    name: Arc<str>,
    /// Reasons why another user may have written the file, if they only deserve a warning.
    warnings: Vec<String>,
}

/// How a configuration file was chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chosen {
    /// The user named it.
    Named,
    /// It is in a system folder, where only root puts files.
    System,
    /// It happens to be in the current folder, or in the home folder that the environment names.
    Found,
}

fn explicit(path: &Path, places: &Places, remedy: Remedy) -> Result<Config> {
    let opened = read(path, Chosen::Named).map_err(|error| {
        let path = path.display();
        Error::config(match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                Reason::from(format!("File not found: {path}")).remedy(remedy)
            }
            ErrorKind::IsADirectory => {
                Reason::from(format!("{path} is a folder, not a configuration file")).remedy(remedy)
            }
            _ => because(format!("{path} cannot be read"), error),
        })
    })?;
    combine(vec![parse(path, Chosen::Named, opened)?], Vec::new(), places)
}

/// Reads all files that exist. Later ones override earlier ones. A file that cannot be opened is skipped with a
/// warning, because system files may be readable by root only.
fn search(etc: &Path, places: &Places, current: &Path) -> Result<Config> {
    let home = places.home.as_deref();
    let folder = etc.join("backy/conf.d");
    let mut warnings = Vec::new();
    let mut paths = vec![etc.join(NAME), etc.join("backy").join(NAME)];
    match folder_files(&folder) {
        Ok(files) => paths.extend(files),
        Err(error) if is_absent(&error) => {}
        Err(error) => warnings.push(skipped(&folder, &error)),
    }
    let mut paths: Vec<_> = paths.into_iter().map(|path| (path, Chosen::System)).collect();
    paths.extend(home.map(|home| (home.join(".backy.cfg"), Chosen::Found)));
    paths.push((current.join(NAME), Chosen::Found));
    let mut found = Vec::new();
    for (path, chosen) in &paths {
        match read(path, *chosen) {
            Ok(read) => found.push(parse(path, *chosen, read)?),
            Err(error) if is_absent(&error) => {}
            Err(error) => warnings.push(skipped(path, &error)),
        }
    }
    if found.is_empty() {
        let home = home.map_or_else(|| "~/.backy.cfg".into(), |home| home.join(".backy.cfg"));
        let places =
            [&etc.join(NAME), &etc.join("backy").join(NAME), &folder.join("*"), &home, &current.join(NAME)];
        let places = places.map(|path| path.display().to_string()).join(", ");
        let skipped: String = warnings.iter().map(|warning| format!(" {warning}")).collect();
        let text = format!("No configuration found; looked for {places}.{skipped}");
        return Err(Error::config(Reason::from(text).remedy(Remedy::WriteConfig)));
    }
    combine(found, warnings, places)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn skipped(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read and is skipped: {error}", path.display())
}

/// The same files as a shell's `folder/*`, sorted, without folders.
fn folder_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && !entry.path().is_dir() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path, chosen: Chosen) -> io::Result<(Vec<u8>, Opened)> {
    let accept = if chosen == Chosen::Named { Accept::Any } else { Accept::Regular };
    let mut opened = trust::open(path, accept)?;
    let mut text = Vec::new();
    (&mut opened.file).take(MAX_SIZE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_SIZE {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {MAX_SIZE} bytes")));
    }
    Ok((text, opened))
}

/// Refuses a configuration that other users may have written. It names the logfile and the store, so its author can
/// make the caller overwrite files. If the user or the administrator chose the file, this is only a warning, unless
/// others can change the file or seem to have put it there.
fn believed(path: &Path, chosen: Chosen, doubts: &[Doubt]) -> Result<Vec<String>> {
    let name = path.display();
    if let Some(doubt) = doubts.iter().find(|doubt| matches!(doubt, Doubt::Writable(_))) {
        return Err(Error::config(format!(
            "{name} {doubt}: somebody could have changed it to make this program overwrite files. Check its \
             content, then run `chmod go-w {name}`."
        )));
    }
    let is_owner = |doubt: &&Doubt| matches!(doubt, Doubt::Owner(_));
    let planted = doubts.iter().any(|doubt| matches!(doubt, Doubt::FolderWritable(..)))
        && doubts.iter().any(|doubt| is_owner(&doubt));
    match doubts {
        [doubt, ..] if planted || chosen == Chosen::Found => {
            let text = format!(
                "{name} {doubt}: it is not read, because it could make this program overwrite files."
            );
            Err(Error::config(Reason::from(text).remedy(Remedy::LeaveFolder)))
        }
        _ => Ok(doubts
            .iter()
            .map(|doubt| format!("{name} {doubt}: others can change what backy2 does."))
            .collect()),
    }
}

fn parse(path: &Path, chosen: Chosen, (bytes, opened): (Vec<u8>, Opened)) -> Result<Found> {
    let warnings = believed(path, chosen, &opened.doubts)?;
    let name: Arc<str> = path.display().to_string().into();
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::config(format!("{name}:{line}: this line is not UTF-8. Save the file in that encoding."))
    })?;
    let is_toml = path.as_os_str().as_encoded_bytes().ends_with(b".toml");
    let text = Zeroizing::new(text);
    let mut raw = if is_toml { toml::parse(&text, &name)? } else { ini::parse(&text, &name)? };
    if Keys::new(&raw, "DEFAULTS").choice("relative_paths", &RELATIVE_TO, RelativeTo::Current)?
        == RelativeTo::Folder
    {
        raw.folders.push((Arc::clone(&name), folder_of(path)?));
    }
    let mode = opened.metadata.is_file().then(|| opened.metadata.mode());
    Ok(Found { raw, mode, name, warnings })
}

/// The folder of the file at `path`, absolute and without links.
fn folder_of(path: &Path) -> Result<PathBuf> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::canonicalize(above)
        .map_err(|e| Error::config(because(format!("the folder of {} cannot be found", path.display()), e)))
}

fn combine(found: Vec<Found>, mut warnings: Vec<String>, places: &Places) -> Result<Config> {
    let mut all = Raw::default();
    let mut names = Vec::new();
    for Found { raw, mode, name, warnings: doubts } in found {
        warnings.extend(doubts);
        warnings.extend(exposed(&raw, mode.unwrap_or(0), &name));
        names.push(name);
        all.merge(raw);
    }
    let mut config = settings(&all, &names.join(", "), places)?;
    warnings.append(&mut config.warnings);
    config.warnings = warnings;
    Ok(config)
}

/// A warning if others than the owner can read the keys in this file.
fn exposed(raw: &Raw, mode: u32, name: &str) -> Option<String> {
    let holds = |(section, key): &(&str, &str)| {
        [section, INHERITED]
            .iter()
            .filter_map(|section| raw.section(section)?.get(key))
            .any(|value| !value.text.is_empty())
    };
    let (_, key) = CONFIDENTIAL.iter().find(|confidential| holds(confidential))?;
    (mode & 0o044 != 0).then(|| {
        format!("{name} contains {key}, and users other than its owner can read it. Run `chmod 600 {name}`.")
    })
}

#[cfg(test)]
mod tests;

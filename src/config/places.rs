//! Default places of files: system folders for root, folders below the home folder for other users.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The places of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The home folder, for `~/.backy.cfg`.
    pub home: Option<PathBuf>,
    /// The logfile.
    pub logfile: Option<PathBuf>,
    /// The folder for temporary copies.
    pub cachedir: Option<PathBuf>,
}

impl Places {
    /// The places of root, without a home folder.
    pub fn of_system() -> Self {
        let place = |path: &str| Some(Path::new(path).to_owned());
        Places { home: None, logfile: place("/var/log/backy.log"), cachedir: place("/var/cache/backy2") }
    }

    /// The system's places for `root`. For others the folders named by the variables of freedesktop.org, which
    /// `variable` looks up, or else folders below `home`. Only the user can write to these. `/tmp` would not be such a
    /// place.
    pub fn new(root: bool, home: Option<PathBuf>, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        if root {
            return Places { home, ..Places::of_system() };
        }
        let below = |name: &str, default: &str| {
            let named = variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
            named.or_else(|| Some(home.as_ref()?.join(default))).map(|path| path.join("backy2"))
        };
        let logfile = below("XDG_STATE_HOME", ".local/state").map(|folder| folder.join("backy.log"));
        let cachedir = below("XDG_CACHE_HOME", ".cache");
        Places { home, logfile, cachedir }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_the_systems_places_and_others_their_own() {
        let path = |text: &str| Some(PathBuf::from(text));
        let set = |name: &str| Some(OsString::from(format!("/x/{name}")));
        let root = Places::new(true, path("/root"), set);
        assert_eq!((root.logfile, root.cachedir), (path("/var/log/backy.log"), path("/var/cache/backy2")));
        let user = Places::new(false, path("/home/u"), |_| None);
        assert_eq!(user.logfile, path("/home/u/.local/state/backy2/backy.log"));
        assert_eq!(user.cachedir, path("/home/u/.cache/backy2"));
        let user = Places::new(false, path("/home/u"), set);
        assert_eq!(user.logfile, path("/x/XDG_STATE_HOME/backy2/backy.log"));
        assert_eq!(user.cachedir, path("/x/XDG_CACHE_HOME/backy2"));
        let relative = Places::new(false, path("/home/u"), |_| Some("x".into()));
        assert_eq!(relative.cachedir, path("/home/u/.cache/backy2"));
        assert_eq!(Places::new(false, None, |_| None), Places::default());
    }
}

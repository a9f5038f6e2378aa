//! Where files are by default: those of root belong to the system, those of others to the user's home.

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
    /// Those of root, without a home.
    pub fn of_system() -> Self {
        let place = |path: &str| Some(Path::new(path).to_owned());
        Places { home: None, logfile: place("/var/log/backy.log"), cachedir: place("/var/cache/backy2") }
    }

    /// Those of the system for `root`; else below `home`, or where the variables of freedesktop.org say, which `variable`
    /// looks up. Nobody can put anything there but the user: `/tmp` is no such place.
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

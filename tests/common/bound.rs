//! A store on a mount that can vanish.

use super::disk::{run, text};
use super::install::Install;
use std::path::{Path, PathBuf};

/// The folder `real`, mounted at the store's folder, which is empty below; unmounted when dropped.
pub struct Bound {
    at: PathBuf,
    real: PathBuf,
}

impl Bound {
    /// `None` if mounting is not allowed; the test is then reported as skipped.
    pub fn new(test: &str, install: &Install) -> Option<Self> {
        let (at, real) = (install.path("data"), install.path("real"));
        std::fs::rename(&at, &real).expect("moved");
        std::fs::create_dir(&at).expect("a mountpoint");
        let bound = Bound { at, real };
        match bound.mount() {
            Ok(_) => Some(bound),
            Err(reason) => {
                super::skip(test, &reason);
                None
            }
        }
    }

    fn mount(&self) -> Result<String, String> {
        run("mount", &["--bind", text(&self.real), text(&self.at)])
    }

    /// The path below the real folder of a path below the mountpoint.
    pub fn below(&self, path: &Path) -> PathBuf {
        self.real.join(path.strip_prefix(&self.at).expect("below the mountpoint"))
    }

    /// Unmounts it while it is in use.
    pub fn vanish(&self) {
        run("umount", &["-l", text(&self.at)]).expect("unmounted");
    }

    /// Mounts it again.
    pub fn again(&self) {
        self.mount().expect("mounted");
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", text(&self.at)]);
    }
}

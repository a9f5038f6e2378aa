//! A Ceph cluster that the tests of one binary share, with Ceph's own commands to compare with.

use super::install::{Install, Run};
use super::{disk, skip};
use backy2::config::{IoConfig, RbdConfig};
use backy2::io::{Existing, Target, open_target};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// A running cluster; it ends with the last test that uses it.
pub struct Ceph {
    folder: tempfile::TempDir,
    /// The configuration file.
    pub conf: PathBuf,
}

/// The programs that a cluster needs.
const PROGRAMS: [&str; 4] = ["ceph-mon", "ceph-osd", "ceph", "rbd"];

fn script(verb: &str, folder: &Path) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/ceph_lab.sh");
    disk::run("bash", &[disk::text(&script), verb, disk::text(folder)])
}

impl Ceph {
    /// The cluster of this process, started if none is running. `None` if Ceph is not installed; the test is then
    /// reported as skipped.
    pub fn get(test: &str) -> Option<Arc<Ceph>> {
        static RUNNING: Mutex<Weak<Ceph>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(ceph) = running.upgrade() {
            return Some(ceph);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there =
            |program: &&str| std::env::split_paths(&path).any(|folder| folder.join(program).exists());
        if let Some(missing) = PROGRAMS.iter().find(|program| !is_there(program)) {
            skip(test, &format!("{missing} is not installed"));
            return None;
        }
        let ceph = Arc::new(Self::start());
        *running = Arc::downgrade(&ceph);
        Some(ceph)
    }

    /// A separate cluster, for a test that breaks it. Call this only after [`Ceph::get`] has returned a cluster.
    pub fn start() -> Ceph {
        // Paths of sockets must be short.
        let folder = tempfile::tempdir_in("/tmp").expect("a folder");
        // Made before the start, so that a start that fails half-way is cleaned up.
        let mut ceph = Ceph { conf: PathBuf::new(), folder };
        let printed = match script("start", ceph.folder.path()) {
            Ok(printed) => printed,
            Err(error) => panic!("no cluster: {error}"),
        };
        let conf = printed.lines().find_map(|line| line.strip_prefix("CEPH_CONF=")).expect("a configuration");
        ceph.conf = conf.into();
        ceph
    }

    /// The process id of the OSD.
    pub fn osd(&self) -> i32 {
        let text = std::fs::read_to_string(self.folder.path().join("osd.pid")).expect("read");
        text.trim().parse().expect("a number")
    }

    /// Runs `rbd`, which must succeed, and returns its output.
    pub fn rbd(&self, args: &[&str]) -> String {
        disk::run("rbd", &[&["-c", disk::text(&self.conf)], args].concat()).expect("rbd")
    }

    /// Runs `ceph` in the same way.
    pub fn ceph(&self, args: &[&str]) -> String {
        disk::run("ceph", &[&["-c", disk::text(&self.conf)], args].concat()).expect("ceph")
    }

    /// Runs `rados` in the same way.
    pub fn rados(&self, args: &[&str]) -> String {
        disk::run("rados", &[&["-c", disk::text(&self.conf)], args].concat()).expect("rados")
    }

    /// The content of an image or snapshot (`POOL/IMAGE@SNAPSHOT`) according to Ceph itself.
    pub fn export(&self, image: &str) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new_in(self.folder.path()).expect("a file");
        std::fs::remove_file(file.path()).expect("removed");
        self.rbd(&["export", image, disk::text(file.path())]);
        std::fs::read(file.path()).expect("read")
    }

    /// The names of the snapshots of an image.
    pub fn snapshots(&self, image: &str) -> Vec<String> {
        let list: serde_json::Value =
            serde_json::from_str(&self.rbd(&["snap", "ls", "--format", "json", image])).expect("JSON");
        let names = list.as_array().expect("a list").iter();
        names.map(|snapshot| snapshot["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// The number of objects of an image.
    pub fn objects(&self, pool: &str, image: &str) -> usize {
        let info: serde_json::Value =
            serde_json::from_str(&self.rbd(&["info", "--format", "json", image])).expect("JSON");
        let prefix = info["block_name_prefix"].as_str().expect("a prefix").to_owned() + ".";
        self.rados(&["-p", pool, "ls"]).lines().filter(|name| name.starts_with(&prefix)).count()
    }

    /// Opens an image for writing.
    pub fn writer(&self, url: &str) -> Box<dyn Target> {
        let config = IoConfig { rbd: self.config(), ..IoConfig::default() };
        open_target(url, &config, 0, Existing::Accept).expect("opened")
    }

    fn config(&self) -> RbdConfig {
        RbdConfig { conffile: self.conf.clone(), timeout: Duration::from_secs(30), ..RbdConfig::default() }
    }

    /// Makes an installation use this cluster; `more` are further lines of `[io_rbd]`.
    pub fn adopt(&self, install: &Install, more: &str) {
        let file = install.path("backy.cfg");
        let text = std::fs::read_to_string(&file).expect("read");
        let kept = text.split("\n[io_rbd]\n").next().expect("a part");
        let conf = self.conf.display();
        let text = format!("{kept}\n[io_rbd]\nceph_conffile: {conf}\ntimeout: 30s\n{more}");
        std::fs::write(&file, text).expect("written");
    }

    /// An installation that uses this cluster.
    pub fn install(&self, block_size: u32) -> Install {
        let install = Install::in_memory(block_size);
        self.adopt(&install, "");
        install.ok(&["initdb"]);
        install
    }
}

impl Drop for Ceph {
    fn drop(&mut self) {
        if let Err(error) = script("stop", self.folder.path()) {
            println!("the cluster was not stopped: {error}");
        }
    }
}

/// Runs `rbd diff` and writes its output to a file of the installation. Returns the path.
pub fn hints(ceph: &Ceph, install: &Install, args: &[&str]) -> String {
    let json = ceph.rbd(&[&["diff", "--format", "json"], args].concat());
    std::fs::write(install.path("hints.json"), json).expect("written");
    install.text("hints.json")
}

/// The errors that a failed command has printed, without the echo of the command line.
pub fn errors(run: &Run) -> Vec<&str> {
    run.stderr.lines().filter(|line| line.contains("ERROR: ")).collect()
}

/// Runs a command with one more environment variable.
pub fn with_env(install: &Install, key: &str, value: &str, args: &[&str]) -> Run {
    let mut command: Command = install.command(args);
    Run::from(command.env(key, value).output().expect("runs"))
}

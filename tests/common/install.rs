//! Installations in temporary folders; tests run the binary in them as users do.

use super::database::{Engine, quoted};
use super::{old_database, postgres};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A self-contained installation in a folder that is removed with it.
pub struct Install {
    folder: tempfile::TempDir,
    config: PathBuf,
    /// The PostgreSQL database, if it is not the file `backy.sqlite`.
    postgres: Option<postgres::Database>,
}

/// The result of a command.
#[derive(Debug)]
pub struct Run {
    /// Exit code; -1 if a signal killed it.
    pub code: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let run = Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        // Error numbers are for programmers.
        assert!(!run.stdout.contains("(os error") && !run.stderr.contains("(os error"), "{run:?}");
        run
    }
}

impl Install {
    /// An installation with blocks of `block_size` bytes, encryption and an empty database. Its process name is unique,
    /// so that installations of tests that run at the same time do not see each other.
    pub fn new(block_size: u32) -> Self {
        let install = Self::without_database(block_size);
        install.ok(&["initdb"]);
        install
    }

    /// As [`Install::new`], but without calling `initdb`.
    pub fn without_database(block_size: u32) -> Self {
        Self::in_folder(block_size, tempfile::tempdir().expect("tempdir"), Engine::usual().database())
    }

    /// As [`Install::new`], with this engine.
    pub fn on(engine: Engine, block_size: u32) -> Self {
        Self::with_database(block_size, engine.database())
    }

    /// As [`Install::new`], with an empty PostgreSQL database.
    pub fn on_server(block_size: u32, database: postgres::Database) -> Self {
        Self::with_database(block_size, Some(database))
    }

    fn with_database(block_size: u32, database: Option<postgres::Database>) -> Self {
        let install = Self::in_folder(block_size, tempfile::tempdir().expect("tempdir"), database);
        install.ok(&["initdb"]);
        install
    }

    /// As [`Install::without_database`], in memory if there is `/dev/shm`: for tests that flush to disk very often.
    pub fn in_memory(block_size: u32) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::in_folder(block_size, folder.expect("tempdir"), Engine::usual().database())
    }

    fn in_folder(block_size: u32, folder: tempfile::TempDir, postgres: Option<postgres::Database>) -> Self {
        let dir = folder.path().to_str().expect("utf-8").to_owned();
        for part in ["data", "lock", "cache"] {
            std::fs::create_dir(folder.path().join(part)).expect("mkdir");
        }
        let name = process_name(folder.path());
        let config = folder.path().join("backy.cfg");
        let engine = postgres.as_ref().map(postgres::Database::url);
        let engine = engine.unwrap_or_else(|| format!("sqlite:///{dir}/backy.sqlite"));
        let text = format!(
            "[DEFAULTS]\nlogfile: {dir}/backy.log\nblock_size: {block_size}\nlock_dir: {dir}/lock\n\
             cachedir: {dir}/cache\nprocess_name: {name}\n\
             encryption_key: decafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbad\n\
             encryption_version: 1\n\n\
             [MetaBackend]\ntype: backy2.meta_backends.sql\nengine: {engine}\n\n\
             [DataBackend]\ntype: backy2.data_backends.file\npath: {dir}/data\nsimultaneous_writes: 3\n\
             simultaneous_reads: 3\nsync: none\n\n[io_file]\nsimultaneous_reads: 3\nsimultaneous_writes: 3\n"
        );
        std::fs::write(&config, text).expect("write");
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        Install { folder, config, postgres }
    }

    /// A copy of the installation of 2.x in `tests/fixtures/NAME`. In tests of PostgreSQL, the database is copied to a
    /// server, as if 2.x had used that.
    pub fn fixture(name: &str) -> Self {
        let mut install = Self::fixture_files(name);
        if let Some(database) = Engine::usual().database() {
            old_database::copy(&install.sqlite(), &mut database.client());
            install.replace_file(database);
        }
        install
    }

    /// A copy of the fixture, always with its SQLite file.
    fn fixture_files(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("tempdir");
        copy(&fixture_folder(name), folder.path());
        for part in ["lock", "cache"] {
            std::fs::create_dir(folder.path().join(part)).expect("mkdir");
        }
        let config = folder.path().join("backy.cfg");
        let install = Install { folder, config, postgres: None };
        install.adopt_config("backy.cfg");
        install
    }

    /// A copy of the fixture with an empty database, and with the configuration `config`, if that is given.
    pub fn emptied_fixture(name: &str, config: Option<&str>) -> Self {
        let mut install = Self::fixture_files(name);
        if let Some(config) = config {
            install.adopt_config(config);
        }
        match Engine::usual().database() {
            Some(database) => install.replace_file(database),
            None => install.lose_database(),
        }
        install.ok(&["initdb"]);
        install
    }

    /// Replaces the SQLite file by a database on a server.
    fn replace_file(&mut self, database: postgres::Database) {
        self.lose_database();
        self.set("engine", &database.url());
        self.postgres = Some(database);
    }

    /// A second installation with the same content.
    pub fn duplicate(&self) -> Self {
        let folder = tempfile::tempdir().expect("tempdir");
        copy(self.folder.path(), folder.path());
        let config = folder.path().join("backy.cfg");
        let text = std::fs::read_to_string(&config).expect("read");
        let (old, new) =
            (self.folder.path().to_str().expect("utf-8"), folder.path().to_str().expect("utf-8"));
        std::fs::write(&config, text.replace(old, new)).expect("write");
        let postgres = self.postgres.as_ref().map(postgres::Database::duplicate);
        let install = Install { folder, config, postgres };
        if let Some(database) = &install.postgres {
            install.set("engine", &database.url());
        }
        install.set("process_name", &process_name(install.folder.path()));
        install
    }

    /// Takes over a configuration of a fixture, with this folder and a unique process name. Switches flushes off, which
    /// tests do not need.
    pub fn adopt_config(&self, name: &str) {
        let text = std::fs::read_to_string(self.path(name)).expect("read");
        let text = text
            .replace("@DIR@", self.folder.path().to_str().expect("utf-8"))
            .replace("[DataBackend]\n", "[DataBackend]\nsync: none\n");
        std::fs::write(&self.config, text).expect("write");
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&self.config, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        self.set("process_name", &process_name(self.folder.path()));
        if let Some(database) = &self.postgres {
            self.set("engine", &database.url());
        }
    }

    /// A path in the installation's folder, which has `data`, `lock`, `cache`, `backy.sqlite`, `backy.cfg`,
    /// `backy.log`, and the files of the test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same path as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("utf-8").to_owned()
    }

    /// Changes the configuration: every line `key: …` gets the new value; a new key is added to `[DEFAULTS]`.
    pub fn set(&self, key: &str, value: &str) {
        self.set_in("DEFAULTS", key, value);
    }

    /// Removes every line `key: …` from the configuration.
    pub fn unset(&self, key: &str) {
        let text = std::fs::read_to_string(&self.config).expect("read");
        let begins = format!("{key}:");
        let left = text.lines().filter(|line| !line.starts_with(&begins)).map(|line| line.to_owned() + "\n");
        std::fs::write(&self.config, left.collect::<String>()).expect("write");
    }

    /// As [`Install::set`], for another section.
    pub fn set_in(&self, section: &str, key: &str, value: &str) {
        let text = std::fs::read_to_string(&self.config).expect("read");
        let begins = format!("{key}:");
        let line = format!("{key}: {value}");
        let changed = if text.lines().any(|l| l.starts_with(&begins)) {
            let lines: Vec<&str> =
                text.lines().map(|l| if l.starts_with(&begins) { &line[..] } else { l }).collect();
            lines.join("\n") + "\n"
        } else {
            text.replacen(&format!("[{section}]\n"), &format!("[{section}]\n{line}\n"), 1)
        };
        std::fs::write(&self.config, changed).expect("write");
    }

    /// Writes a configuration for another host with the same database and store, but with its own locks, cache, log and
    /// process name. Returns its path, for `-c`.
    pub fn another_host(&self, name: &str) -> String {
        let text = std::fs::read_to_string(&self.config).expect("read");
        let own = |line: &str| match line.split(':').next() {
            Some("lock_dir") => format!("lock_dir: {}", self.text(&format!("{name}.lock"))),
            Some("cachedir") => format!("cachedir: {}", self.text(&format!("{name}.cache"))),
            Some("logfile") => format!("logfile: {}", self.text(&format!("{name}.log"))),
            Some("process_name") => format!("{line}{name}"),
            _ => line.to_owned(),
        };
        for part in ["lock", "cache"] {
            std::fs::create_dir(self.path(&format!("{name}.{part}"))).expect("mkdir");
        }
        let config = self.path(&format!("{name}.cfg"));
        std::fs::copy(&self.config, &config).expect("copied with its rights");
        std::fs::write(&config, text.lines().map(|line| own(line) + "\n").collect::<String>())
            .expect("written");
        self.text(&format!("{name}.cfg"))
    }

    /// Limits the bandwidth of the store, in bytes per second; 0 means no limit.
    pub fn bandwidth(&self, write: u64, read: u64) {
        self.set_in("DataBackend", "bandwidth_write", &write.to_string());
        self.set_in("DataBackend", "bandwidth_read", &read.to_string());
    }

    /// The `file://` URL of a file in the folder.
    pub fn url(&self, name: &str) -> String {
        format!("file://{}", self.text(name))
    }

    /// The command `backy2 -c CONFIG ARGS`, to be run in the installation's folder.
    pub fn command(&self, args: &[&str]) -> Command {
        hear_hangups();
        let mut command = Command::new(crate::common::program());
        command.arg("-c").arg(&self.config).args(args).current_dir(self.folder.path());
        command
            .env_remove("BACKY2_DIR")
            .env_remove("BACKY2_CONFIG")
            .env_remove("BACKY2_NESTED")
            .env_remove("BACKY2_FAILPOINT")
            .env_remove("RUST_BACKTRACE")
            .env("TZ", "UTC");
        command
    }

    /// Runs a command to its end. Fails if it panics or prints a backtrace.
    pub fn run(&self, args: &[&str]) -> Run {
        let run = Run::from(self.command(args).stdin(Stdio::null()).output().expect("runs"));
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains("panicked") && !text.contains("internal error"), "{args:?}: {run:?}");
        }
        run
    }

    /// Runs a command, which must succeed. Returns stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, 0, "{args:?}: {run:?}");
        run.stdout
    }

    /// Runs a command, which must end with exit code `code`. Returns stderr.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        run.stderr
    }

    /// Runs a command, which must fail with `code`, print each of `words` on stderr, and change nothing in the
    /// database, the store and the folder.
    pub fn refuses(&self, code: i32, args: &[&str], words: &[&str]) {
        let before = self.state();
        let error = self.fails(code, args);
        for word in words {
            assert!(error.contains(word), "{args:?} must say {word:?}: {error}");
        }
        assert!(self.state() == before, "{args:?} has changed something");
    }

    /// The content of the database, the files in the store, and the names in the folder.
    pub fn state(&self) -> (Vec<String>, Vec<PathBuf>, Vec<String>) {
        let entries = std::fs::read_dir(self.folder.path()).expect("list");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name != "backy.log" && name != "backy.sqlite.reserve")
            .filter(|name| !name.starts_with("backy.sqlite-"))
            .collect();
        names.sort();
        (self.dump(), self.blobs(), names)
    }

    /// Starts a command without waiting for it.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts")
    }

    /// Runs `backup` with further arguments and returns the new version's uid.
    pub fn backup(&self, args: &[&str]) -> String {
        let out = self.ok(&[&["-m", "backup"], args].concat());
        out.lines().last().expect("a uid").to_owned()
    }

    /// Restores a version to the file `name` in the folder and returns the data.
    pub fn restored(&self, uid: &str, name: &str) -> Vec<u8> {
        let _ = std::fs::remove_file(self.path(name));
        self.ok(&["restore", uid, &format!("file://{}", self.text(name))]);
        std::fs::read(self.path(name)).expect("read")
    }

    /// Writes a file in the folder and returns its URL.
    pub fn image(&self, name: &str, data: &[u8]) -> String {
        std::fs::write(self.path(name), data).expect("write");
        self.url(name)
    }

    /// The path of a blob in the store.
    pub fn blob(&self, uid: &str) -> PathBuf {
        self.path("data").join(&uid[..2]).join(&uid[2..4]).join(format!("{uid}.blob"))
    }

    /// The uid of a block's blob.
    pub fn blob_uid(&self, version: &str, id: u64) -> String {
        let sql = format!("SELECT uid FROM blocks WHERE version_uid = {} AND id = {id}", quoted(version));
        self.texts(&sql).pop().expect("a stored block")
    }

    /// The numbers of a version's blocks that are marked invalid.
    pub fn invalid_blocks(&self, version: &str) -> Vec<u64> {
        let sql = format!("SELECT id FROM blocks WHERE version_uid = {} AND valid = 0", quoted(version));
        let ids = self.numbers(&(sql + " ORDER BY id"));
        ids.into_iter().map(|id| u64::try_from(id).expect("a number of a block")).collect()
    }

    /// Whether `ls` shows the version as valid.
    pub fn is_valid(&self, version: &str) -> bool {
        let out = self.ok(&["-ms", "ls", "-f", "uid,valid"]);
        let line = out.lines().find(|line| line.starts_with(version)).expect("listed");
        line.ends_with("|1")
    }

    /// The uids that `ls` shows, with further arguments.
    pub fn uids(&self, args: &[&str]) -> Vec<String> {
        let out = self.ok(&[&["-ms", "ls", "-f", "uid"], args].concat());
        out.lines().map(str::to_owned).collect()
    }

    /// The paths of all blobs in the store.
    pub fn blobs(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.path("data"), &mut found);
        found.sort();
        found
    }

    /// The PostgreSQL database, if it is not the file `backy.sqlite`.
    pub fn postgres(&self) -> Option<&postgres::Database> {
        self.postgres.as_ref()
    }
}

/// Handles SIGHUP if it is ignored, as under `nohup cargo test`, so that the commands of the tests do not inherit that.
fn hear_hangups() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").expect("read");
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("listed");
        if u64::from_str_radix(ignored.trim(), 16).expect("a mask") & 1 != 0 {
            signal_hook::flag::register(signal_hook::consts::SIGHUP, std::sync::Arc::default())
                .expect("registered");
        }
    });
}

/// A process name that no other test uses.
fn process_name(folder: &Path) -> String {
    let name = format!("b2t{}", folder.file_name().expect("name").to_string_lossy().replace('.', ""));
    name[..name.len().min(12)].to_owned()
}

/// The folder of a fixture in the source tree.
pub fn fixture_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("list") {
        let path = entry.expect("entry").path();
        let target = to.join(path.file_name().expect("name"));
        if path.is_dir() {
            std::fs::create_dir(&target).expect("mkdir");
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copy");
        }
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|e| e == "blob") {
            found.push(path);
        }
    }
}

/// `length` pseudo-random bytes, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut data = vec![0; length];
    random.fill(&mut data);
    data
}

//! Installations in temporary folders, driven through the binary as a user does.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A self-contained installation in a folder that goes with it.
pub struct Install {
    folder: tempfile::TempDir,
    config: PathBuf,
}

/// What a command printed, and how it ended.
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
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Install {
    /// With blocks of `block_size` bytes, encrypted, an empty database, and a process name of its own, so that
    /// installations of tests that run at the same time do not see each other.
    pub fn new(block_size: u32) -> Self {
        let install = Self::without_database(block_size);
        install.ok(&["initdb"]);
        install
    }

    /// As [`Install::new`], but `initdb` was not called yet.
    pub fn without_database(block_size: u32) -> Self {
        let folder = tempfile::tempdir().expect("tempdir");
        let dir = folder.path().to_str().expect("utf-8").to_owned();
        for part in ["data", "lock", "cache"] {
            std::fs::create_dir(folder.path().join(part)).expect("mkdir");
        }
        let name =
            format!("b2t{}", folder.path().file_name().expect("name").to_string_lossy().replace('.', ""));
        let config = folder.path().join("backy.cfg");
        let text = format!(
            "[DEFAULTS]\nlogfile: {dir}/backy.log\nblock_size: {block_size}\nlock_dir: {dir}/lock\n\
             cachedir: {dir}/cache\nprocess_name: {}\n\
             encryption_key: decafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbad\n\
             encryption_version: 1\n\n\
             [MetaBackend]\ntype: backy2.meta_backends.sql\nengine: sqlite:///{dir}/backy.sqlite\n\n\
             [DataBackend]\ntype: backy2.data_backends.file\npath: {dir}/data\nsimultaneous_writes: 3\n\
             simultaneous_reads: 3\nsync: none\n\n[io_file]\nsimultaneous_reads: 3\nsimultaneous_writes: 3\n",
            &name[..name.len().min(12)]
        );
        std::fs::write(&config, text).expect("write");
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        Install { folder, config }
    }

    /// Its folder: `data`, `lock`, `cache`, `backy.sqlite`, `backy.cfg`, `backy.log`, and whatever a test puts
    /// there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("utf-8").to_owned()
    }

    /// Changes the configuration: every `key: …` line gets the new value, or is added to `[DEFAULTS]`.
    pub fn set(&self, key: &str, value: &str) {
        self.set_in("DEFAULTS", key, value);
    }

    /// The same for another section.
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

    /// Limits what goes to the store and what comes from it, in bytes a second; 0 = no limit.
    pub fn bandwidth(&self, write: u64, read: u64) {
        self.set_in("DataBackend", "bandwidth_write", &write.to_string());
        self.set_in("DataBackend", "bandwidth_read", &read.to_string());
    }

    /// `file://` and the path of a file in its folder.
    pub fn url(&self, name: &str) -> String {
        format!("file://{}", self.text(name))
    }

    /// The binary with `-c` of this installation and `args`, in its folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backy2"));
        command.arg("-c").arg(&self.config).args(args).current_dir(self.folder.path());
        command.env_remove("BACKY2_FAILPOINT").env_remove("RUST_BACKTRACE").env("TZ", "UTC");
        command
    }

    /// Runs it to its end. Never a panic or a backtrace, whatever the arguments.
    pub fn run(&self, args: &[&str]) -> Run {
        let run = Run::from(self.command(args).stdin(Stdio::null()).output().expect("runs"));
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains("panicked") && !text.contains("internal error"), "{args:?}: {run:?}");
        }
        run
    }

    /// Runs it and expects exit code 0. Returns stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, 0, "{args:?}: {run:?}");
        run.stdout
    }

    /// Runs it and expects an exit code other than 0. Returns stderr.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        run.stderr
    }

    /// Starts it and does not wait.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts")
    }

    /// Backs up with further arguments and returns the new version's uid.
    pub fn backup(&self, args: &[&str]) -> String {
        let out = self.ok(&[&["-m", "backup"], args].concat());
        out.lines().last().expect("a uid").to_owned()
    }

    /// Restores to `name` in the folder and returns what was written.
    pub fn restored(&self, uid: &str, name: &str) -> Vec<u8> {
        let _ = std::fs::remove_file(self.path(name));
        self.ok(&["restore", uid, &format!("file://{}", self.text(name))]);
        std::fs::read(self.path(name)).expect("read")
    }

    /// The uids that `ls` lists, with further arguments.
    pub fn uids(&self, args: &[&str]) -> Vec<String> {
        let out = self.ok(&[&["-ms", "ls", "-f", "uid"], args].concat());
        out.lines().map(str::to_owned).collect()
    }

    /// All blobs in the store.
    pub fn blobs(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.path("data"), &mut found);
        found.sort();
        found
    }

    /// The database, opened for questions.
    pub fn sql(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.path("backy.sqlite")).expect("opens");
        connection.busy_timeout(std::time::Duration::from_secs(20)).expect("timeout");
        connection
    }

    /// One number from the database.
    pub fn count(&self, sql: &str) -> i64 {
        self.sql().query_row(sql, [], |row| row.get(0)).expect(sql)
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

/// `length` bytes that look random and are the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut data = vec![0; length];
    random.fill(&mut data);
    data
}

//! The folders, configurations and images for the recorded commands, and the shell that runs them.

use super::{dump, tokens, transcript::Answer};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The key in the recorded commands.
const KEY: &str = "decafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbad";
/// The databases in the recorded folder.
const DATABASES: &[&str] = &["t1", "e1", "e0", "imp"];

/// The place where a run takes place.
pub struct Stage {
    top: tempfile::TempDir,
    process_name: String,
    /// Pairs of version uids: the recorded one, and the one in this run.
    uids: Vec<(String, String)>,
}

impl Stage {
    /// Makes configurations and folders, without databases.
    pub fn new() -> Self {
        let top = tempfile::Builder::new().prefix("replay").tempdir().expect("tempdir");
        let stage = Stage { top, process_name: format!("b2r{}", std::process::id()), uids: Vec::new() };
        for folder in ["bin", "cfg", "dir", "home"] {
            fs::create_dir(stage.top.path().join(folder)).expect("mkdir");
        }
        symlink(crate::program::program(), stage.top.path().join("bin/backy2")).expect("link");
        stage.sqlite3();
        for (name, folder, block_size, encryption) in [
            ("backy", "t1", 4 << 20, 1),
            ("e1", "e1", 1 << 20, 1),
            ("e0", "e0", 1 << 20, 0),
            ("e0to1", "e0", 1 << 20, 1),
            ("imp", "imp", 4 << 20, 1),
        ] {
            let text = config(&stage.process_name, folder, block_size, encryption);
            stage.write_private(&format!("@CFG@/{name}.cfg"), &text);
            for part in ["data", "lock", "cache"] {
                fs::create_dir_all(stage.path(&format!("{folder}/{part}"))).expect("mkdir");
            }
        }
        stage
    }

    /// Makes a `sqlite3` for the recorded commands. It uses this test's SQLite, as the machine may have no other.
    fn sqlite3(&self) {
        let own = std::env::current_exe().expect("its path");
        let text = format!(
            "#!/bin/sh\nexport SQL_DATABASE=\"$1\" SQL_TEXT=\"$2\" SQL_OUTPUT=\"$0.$$\"\n\
             '{}' --exact sqlite3_for_the_shell >/dev/null || exit 1\ncat \"$SQL_OUTPUT\"\nrm \"$SQL_OUTPUT\"\n",
            own.display()
        );
        let path = self.top.path().join("bin/sqlite3");
        fs::write(&path, text).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    /// A path in the folder of images, `@DIR@`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.top.path().join("dir").join(name)
    }

    /// Writes a file with a key, which only the owner may read.
    pub fn write_private(&self, name: &str, text: &str) {
        let path = self.path(&self.here(name));
        fs::write(&path, self.here(text)).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
    }

    /// A recorded text with this run's folders and uids.
    pub fn here(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, path) in self.folders() {
            text = text.replace(name, &path);
        }
        for (recorded, own) in &self.uids {
            text = text.replace(recorded, own);
        }
        text
    }

    /// A text of this run with the recorded folders and uids.
    fn there(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, path) in self.folders() {
            text = text.replace(&path, name);
        }
        for (recorded, own) in &self.uids {
            text = text.replace(own, recorded);
        }
        text
    }

    fn folders(&self) -> [(&'static str, String); 3] {
        let at = |name: &str| self.top.path().join(name).to_str().expect("utf-8").to_owned();
        [
            ("@DIR@", at("dir")),
            ("@CFG@", at("cfg")),
            ("@TOP@", format!("{}/tests", env!("CARGO_MANIFEST_DIR"))),
        ]
    }

    /// A shell command that runs in `@DIR@`.
    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("bash");
        let path = std::env::var("PATH").unwrap_or_default();
        shell.arg("-c").arg(self.here(command)).current_dir(self.path(""));
        shell.env("PATH", format!("{}:{path}", self.top.path().join("bin").display()));
        shell.env("HOME", self.top.path().join("home")).env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
        shell.env_remove("BACKY2_FAILPOINT").env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        shell
    }

    /// Runs a recorded command.
    pub fn run(&self, command: &str) -> Answer {
        let output = self.shell(command).output().expect("bash");
        let text = |bytes: &[u8]| self.told(&String::from_utf8_lossy(bytes));
        let exit = output.status.code().unwrap_or(-1).to_string();
        Answer { stdout: text(&output.stdout), stderr: text(&output.stderr), exit }
    }

    /// The output of a command, with dumps decoded.
    fn told(&self, text: &str) -> String {
        dump::decoded(text)
    }

    /// An answer of this run, in the terms of the recorded one.
    pub fn as_recorded(&self, answer: &Answer) -> Answer {
        answer.map(|text| self.there(text))
    }

    /// Runs a command that is not recorded and must succeed; it makes versions with the recorded `uids`.
    pub fn prepare(&mut self, command: &str, uids: &[&str]) {
        let answer = self.run(command);
        assert_eq!(answer.exit, "0", "{command}: {answer:?}");
        let uids: Vec<String> = uids.iter().map(|&uid| uid.to_owned()).collect();
        self.learn(&uids, "setup");
    }

    /// Starts a command that is not recorded.
    pub fn start(&self, command: &str) -> Child {
        self.shell(command).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("bash")
    }

    /// Finds the versions that the last command has made, and pairs them with `recorded` in this order. A version that
    /// the recorded run did not have gets a uid from the name of the step.
    pub fn learn(&mut self, recorded: &[String], step: &str) {
        let mut recorded = recorded.iter().filter(|uid| self.uids.iter().all(|(known, _)| known != *uid));
        let mut learnt: Vec<(String, String)> = Vec::new();
        for uid in DATABASES.iter().flat_map(|name| self.versions(name)) {
            let known = self.uids.iter().any(|(recorded, own)| *own == uid || *recorded == uid);
            if known || learnt.iter().any(|(_, own)| *own == uid) {
                continue;
            }
            // An import keeps the uids.
            if let Some(name) = recorded.clone().find(|name| **name == uid) {
                learnt.push((name.clone(), uid));
                continue;
            }
            let number: String = step.chars().take_while(char::is_ascii_digit).collect();
            let unknown = || format!("00000000-0000-0000-{number:0>4}-{:012}", learnt.len() + 1);
            let name = recorded.next().cloned().unwrap_or_else(unknown);
            learnt.push((name, uid));
        }
        self.uids.extend(learnt);
    }

    /// The uids in a database, oldest first; empty if there is no database yet.
    fn versions(&self, name: &str) -> Vec<String> {
        let path = self.path(&format!("{name}/backy.sqlite"));
        if !path.exists() {
            return Vec::new();
        }
        let Ok(sql) = rusqlite::Connection::open(path) else { return Vec::new() };
        let Ok(mut statement) = sql.prepare("SELECT uid FROM versions ORDER BY date") else {
            return Vec::new();
        };
        let uids = statement.query_map([], |row| row.get(0)).expect("asked");
        uids.collect::<Result<_, _>>().expect("uids")
    }

    /// The recorded uids in an answer that are not paired yet.
    pub fn unknown(&self, answer: &Answer) -> Vec<String> {
        let uids = tokens::uids(&format!("{}\n{}", answer.stdout, answer.stderr));
        uids.into_iter().filter(|uid| self.uids.iter().all(|(known, _)| known != uid)).collect()
    }

    /// Changes a database without the program.
    pub fn sql(&self, name: &str, text: &str) {
        let path = self.path(&format!("{name}/backy.sqlite"));
        let sql = rusqlite::Connection::open(path).expect("opens");
        sql.execute_batch(&self.here(text)).expect("changed");
    }

    /// One value from a database.
    pub fn ask(&self, name: &str, text: &str) -> String {
        let path = self.path(&format!("{name}/backy.sqlite"));
        let sql = rusqlite::Connection::open(path).expect("opens");
        sql.query_row(&self.here(text), [], |row| row.get(0)).expect("a value")
    }

    /// The path of a block's blob.
    pub fn blob(&self, name: &str, version: &str, block: u64) -> PathBuf {
        let sql = format!("SELECT uid FROM blocks WHERE version_uid = '{version}' AND id = {block}");
        let uid = self.ask(name, &sql);
        self.path(&format!("{name}/data/{}/{}/{uid}.blob", &uid[..2], &uid[2..4]))
    }

    /// Copies an installation from `tests/fixtures` into `@DIR@`.
    pub fn fixture(&self, name: &str, folder: &str) {
        let target = self.path(folder);
        copy(&super::project().join("tests/fixtures").join(name), &target);
        for part in ["lock", "cache"] {
            fs::create_dir(target.join(part)).expect("mkdir");
        }
        let text = fs::read_to_string(target.join("backy.cfg")).expect("read");
        let text = text.replace("@DIR@", &format!("@DIR@/{folder}"));
        let text = text.replace("backy2fx", &self.process_name);
        self.write_private(&format!("{folder}/b.cfg"), &text);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("mkdir");
    for entry in fs::read_dir(from).expect("list") {
        let path = entry.expect("entry").path();
        let target = to.join(path.file_name().expect("name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copy");
        }
    }
}

fn config(process_name: &str, folder: &str, block_size: u32, encryption: u8) -> String {
    let at = format!("@DIR@/{folder}");
    let mut text = format!(
        "[DEFAULTS]\nlogfile: {at}/backy.log\nblock_size: {block_size}\nhash_function: sha512\nlock_dir: {at}/lock\n\
         cachedir: {at}/cache\nprocess_name: {process_name}\ndisallow_rm_when_younger_than_days: 6\n\
         deduplication: 1\nencryption_key: {KEY}\nencryption_version: {encryption}\n\n\
         [MetaBackend]\ntype: backy2.meta_backends.sql\nengine: sqlite:///{at}/backy.sqlite\n\n\
         [DataBackend]\ntype: backy2.data_backends.file\npath: {at}/data\nsimultaneous_writes: 5\n\
         simultaneous_reads: 5\nsync: none\n"
    );
    for section in ["io_file", "io_null"] {
        text += &format!("\n[{section}]\nsimultaneous_reads: 5\nsimultaneous_writes: 5\n");
    }
    for (name, interval, keep, sla) in
        [("daily", "1d", 8, "6h"), ("weekly", "7d", 5, "12h"), ("monthly", "30d", 3, "3d")]
    {
        text += &format!("\n[{name}]\ninterval: {interval}\nkeep: {keep}\nsla: {sla}\n");
    }
    text
}

//! PostgreSQL servers for tests: one that the tests of a binary share, and separate ones for tests that stop theirs.

use super::skip;
use postgres::{Client, Config, NoTls, SimpleQueryMessage};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// The owner of the databases: a user without special rights, as an administrator would create one.
pub const USER: &str = "backy2";

/// A running server. When this is dropped, or the process ends in any way, the server ends and its folder is removed:
/// the script `postgres_lab.sh` does so at the end of its standard input.
pub struct Server {
    lab: Mutex<Lab>,
    folder: PathBuf,
    port: u16,
}

/// The script that runs the server.
struct Lab {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// How a server treats its clients when it stops.
#[derive(Debug, Clone, Copy)]
pub enum Stop {
    /// It rolls back their transactions and ends their sessions.
    Fast,
    /// It drops everything, as in a crash.
    Immediate,
}

/// The folder with the programs of the newest installed version.
fn binaries() -> Result<PathBuf, String> {
    let root = Path::new("/usr/lib/postgresql");
    let versions = std::fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(number)
        .map(|path| path.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = || std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    newest.or_else(in_path).ok_or_else(|| "PostgreSQL's server is not installed".to_owned())
}

impl Server {
    /// The server of this process, started by the first call. `None` if PostgreSQL is not installed; the test is then
    /// reported as skipped.
    pub fn get(test: &str) -> Option<Arc<Server>> {
        static SHARED: OnceLock<Result<Arc<Server>, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Ok(Arc::new(Self::start(&binaries()?, "fast"))));
        shared.clone().map_err(|reason| skip(test, &reason)).ok()
    }

    /// A separate server for a test that stops it. Its commits are durable, so they survive a crash.
    pub fn own(test: &str) -> Option<Arc<Server>> {
        let own = binaries().map(|binaries| Arc::new(Self::start(&binaries, "durable")));
        own.map_err(|reason| skip(test, &reason)).ok()
    }

    fn start(binaries: &Path, commits: &str) -> Server {
        // Another process may take the port first; then try again.
        for _ in 0..3 {
            match Self::try_start(binaries, commits) {
                Ok(server) => return server,
                Err(error) => println!("{error}"),
            }
        }
        panic!("no PostgreSQL server in three attempts");
    }

    fn try_start(binaries: &Path, commits: &str) -> Result<Server, String> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = parent.join(format!("backy2-postgres-{:016x}", fastrand::Rng::new().u64(..)));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        drop(listener);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/postgres_lab.sh");
        let mut process = Command::new("bash")
            .arg(script)
            .args([binaries, &folder])
            .args([&port.to_string(), commits])
            // In its own process group, so that it gets no signals of the terminal. It ends after this process.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("bash cannot be run: {error}"))?;
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        let server = Server { lab: Mutex::new(Lab { process, commands, answers }), folder, port };
        server.expect_answer("ready")?;
        server
            .client("postgres", "admin")
            .batch_execute(&format!("CREATE ROLE {USER} LOGIN"))
            .expect("a role");
        Ok(server)
    }

    fn expect_answer(&self, wanted: &str) -> Result<(), String> {
        let mut answer = String::new();
        let mut lab = self.lab.lock().unwrap_or_else(|error| error.into_inner());
        lab.answers.read_line(&mut answer).map_err(|error| error.to_string())?;
        if answer.trim() == wanted {
            Ok(())
        } else {
            Err(format!("the PostgreSQL server says {answer:?}, not {wanted:?}"))
        }
    }

    fn command(&self, command: &str) {
        {
            let mut lab = self.lab.lock().unwrap_or_else(|error| error.into_inner());
            let commands = lab.commands.as_mut().expect("it is there until the end");
            writeln!(commands, "{command}").expect("the script reads");
        }
        self.expect_answer("done").expect(command);
    }

    /// Stops the server; its databases stay.
    pub fn stop(&self, how: Stop) {
        self.command(match how {
            Stop::Fast => "stop fast",
            Stop::Immediate => "stop immediate",
        });
    }

    /// Starts the server again at the same place, and returns when it answers.
    pub fn start_again(&self) {
        self.command("start");
    }

    /// Stops the server and starts it again.
    pub fn restart(&self, how: Stop) {
        self.stop(how);
        self.start_again();
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the unix socket.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    fn client(&self, database: &str, user: &str) -> Client {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(user).dbname(database);
        config.connect(NoTls).unwrap_or_else(|error| panic!("{database}: {error}"))
    }

    /// Runs SQL as the superuser.
    pub fn admin(&self, sql: &str) {
        self.client("postgres", "admin").batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let lab = self.lab.get_mut().unwrap_or_else(|error| error.into_inner());
        drop(lab.commands.take());
        let _ = lab.process.wait();
    }
}

/// A separate database. It is removed when this is dropped, even if there are connections to it.
pub struct Database {
    server: Arc<Server>,
    name: String,
    /// A connection for queries, which is kept open.
    asking: Mutex<Option<Client>>,
}

impl Database {
    /// An empty database, in which the user of the tests may create tables.
    pub fn new(server: &Arc<Server>) -> Database {
        Self::from_template(server, "template0")
    }

    /// A copy of this database. There must be no other connections to it.
    pub fn duplicate(&self) -> Database {
        drop(self.asking().take());
        Self::from_template(&self.server, &self.name)
    }

    fn from_template(server: &Arc<Server>, template: &str) -> Database {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let name = format!("backy{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        server.admin(&format!("CREATE DATABASE {name} OWNER {USER} TEMPLATE {template}"));
        Database { server: server.clone(), name, asking: Mutex::default() }
    }

    /// The server of the database.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The URL for a configuration.
    pub fn url(&self) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// The URL over the unix socket.
    pub fn socket_url(&self) -> String {
        let folder = self.server.folder.display();
        format!("postgresql:///{}?host={folder}&port={}&user={USER}", self.name, self.server.port)
    }

    fn asking(&self) -> MutexGuard<'_, Option<Client>> {
        self.asking.lock().unwrap_or_else(|error| error.into_inner())
    }

    /// The rows of a query, with the values as text.
    pub fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let mut asking = self.asking();
        // The server may have been stopped since the last query; then connect again.
        if let Some(client) = asking.as_mut()
            && let Ok(rows) = rows(client, sql)
        {
            return Ok(rows);
        }
        rows(asking.insert(self.client()), sql)
    }

    /// A connection as the user of the tests.
    pub fn client(&self) -> Client {
        self.server.client(&self.name, USER)
    }
}

/// The rows of a query, with the values as text.
fn rows(client: &mut Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let messages = client.simple_query(sql).map_err(|error| format!("{error:?}"))?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
        }
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}

impl Drop for Database {
    fn drop(&mut self) {
        drop(self.asking().take());
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.server.port).user("admin").dbname("postgres");
        // If the test has stopped the server, there is nothing to drop.
        if let Ok(mut admin) = config.connect(NoTls) {
            let _ = admin.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

//! PgBouncer in front of a server of the tests.

use super::disk::run;
use super::postgres::{Server, USER};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running PgBouncer; it ends when this is dropped.
pub struct PgBouncer {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// Starts a PgBouncer with `pool_mode = mode` and at most `connections` connections to the server.
    pub fn start(server: &Server, mode: &str, connections: u32) -> Result<Self, String> {
        run("pgbouncer", &["--version"])?;
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        drop(listener);
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("users"), format!("\"{USER}\" \"\"\n")).map_err(|e| e.to_string())?;
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n\
             default_pool_size = {connections}\nlogfile = {}\n",
            server.port(),
            path("users"),
            path("log"),
        );
        std::fs::write(path("ini"), text).map_err(|e| e.to_string())?;
        let mut command = Command::new("pgbouncer");
        command.arg("-q").arg(path("ini")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            // It refuses to run as root.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(folder.path(), mode).map_err(|e| e.to_string())?;
            command.uid(65534).gid(65534);
        }
        let process = command.spawn().map_err(|e| format!("pgbouncer cannot be run: {e}"))?;
        let pooler = PgBouncer { process, port, _folder: folder };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if start.elapsed() > Duration::from_secs(20) {
                let log = std::fs::read_to_string(pooler._folder.path().join("log")).unwrap_or_default();
                return Err(format!("pgbouncer does not answer: {log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(pooler)
    }

    /// The URL of a server's database, through this PgBouncer.
    pub fn url(&self, server: &Server, url: &str) -> String {
        url.replacen(&format!(":{}/", server.port()), &format!(":{}/", self.port), 1)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! S3 servers for tests, each with an empty bucket: rclone, which stores objects as files, and Ceph's radosgw.

use rusty_s3::S3Action;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The bucket that exists.
pub const BUCKET: &str = "blobs";

/// The credentials for the bucket.
const KEY: &str = "TESTACCESSKEY0000001";
const SECRET: &str = "test/secret+with/special+characters/0001";

/// A server that runs until it is dropped.
pub struct S3Server {
    kind: Kind,
    folder: tempfile::TempDir,
    address: SocketAddr,
    /// The access key.
    pub key: String,
    /// The secret key.
    pub secret: String,
}

enum Kind {
    Rclone { process: Option<Child>, tls: bool },
    Ceph,
}

impl S3Server {
    /// Starts rclone, or says what is missing.
    pub fn rclone() -> Result<Self, String> {
        Self::start_rclone(false)
    }

    /// Starts rclone with https and a self-signed certificate.
    pub fn rclone_tls() -> Result<Self, String> {
        Self::start_rclone(true)
    }

    fn start_rclone(tls: bool) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        std::fs::create_dir_all(folder.path().join("buckets").join(BUCKET)).map_err(|e| e.to_string())?;
        if tls {
            make_certificate(folder.path())?;
        }
        // Another process may take the free port in between; then the test fails.
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        drop(listener);
        let kind = Kind::Rclone { process: None, tls };
        let mut server = S3Server { kind, folder, address, key: KEY.to_owned(), secret: SECRET.to_owned() };
        server.restart()?;
        Ok(server)
    }

    /// Starts a Ceph cluster with radosgw, or says what is missing.
    pub fn radosgw() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let said = ceph_lab(&["start", folder.path().to_str().ok_or("utf-8")?, "rgw"])?;
        let value = |name: &str| -> Result<String, String> {
            let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(str::to_owned).ok_or(format!("no {name} in {said}"))
        };
        let endpoint = value("S3_ENDPOINT")?;
        let address = endpoint.trim_start_matches("http://").parse().map_err(|_| endpoint.clone())?;
        let (key, secret) = (value("S3_ACCESS_KEY")?, value("S3_SECRET_KEY")?);
        let server = S3Server { kind: Kind::Ceph, folder, address, key, secret };
        server.make_bucket()?;
        Ok(server)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL.
    pub fn endpoint(&self) -> String {
        let tls = matches!(self.kind, Kind::Rclone { tls: true, .. });
        format!("{}://{}", if tls { "https" } else { "http" }, self.address)
    }

    /// The folder in which rclone stores the bucket.
    pub fn bucket_folder(&self) -> PathBuf {
        self.folder.path().join("buckets").join(BUCKET)
    }

    /// The certificate of a server with https.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// The names of the blobs that rclone stores, and of other objects that are not the program's.
    pub fn blobs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.bucket_folder()).expect("listed");
        let names = entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned());
        let ours = ["backy2.store", "index", "versions"];
        // If rclone is killed during an upload, its temporary file stays. It is no object.
        let is_object = |name: &String| !ours.contains(&&name[..]) && !name.starts_with(".rclone_temp");
        let mut names: Vec<String> = names.filter(is_object).collect();
        names.sort();
        names
    }

    /// Kills rclone; its objects stay.
    pub fn kill(&mut self) {
        if let Kind::Rclone { process, .. } = &mut self.kind
            && let Some(mut child) = process.take()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts rclone again at the same place.
    pub fn restart(&mut self) -> Result<(), String> {
        self.kill();
        let Kind::Rclone { process, tls } = &mut self.kind else { return Err("not rclone".into()) };
        let mut command = Command::new(rclone());
        command.args(["serve", "s3", "--vfs-cache-mode", "off", "--config", "", "--addr"]);
        command.arg(self.address.to_string()).arg("--auth-key").arg(format!("{KEY},{SECRET}"));
        if *tls {
            command.arg("--cert").arg(self.folder.path().join("cert.pem"));
            command.arg("--key").arg(self.folder.path().join("key.pem"));
        }
        let log = std::fs::File::create(self.folder.path().join("log")).map_err(|e| e.to_string())?;
        let child = command
            .arg(self.folder.path().join("buckets"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{} cannot be run: {error}", rclone()))?;
        *process = Some(child);
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if start.elapsed() > Duration::from_secs(20) {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(format!("rclone does not answer: {log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn bucket(&self) -> (rusty_s3::Bucket, rusty_s3::Credentials) {
        let url = self.endpoint().parse().expect("a URL");
        let bucket = rusty_s3::Bucket::new(url, rusty_s3::UrlStyle::Path, BUCKET, "us-east-1");
        (bucket.expect("a bucket"), rusty_s3::Credentials::new(&self.key[..], &self.secret[..]))
    }

    fn make_bucket(&self) -> Result<(), String> {
        let (bucket, credentials) = self.bucket();
        let url = bucket.create_bucket(&credentials).sign(Duration::from_secs(60));
        ureq::put(url.as_str()).send_empty().map(drop).map_err(|e| format!("no bucket: {e}"))
    }

    /// Stores an object.
    pub fn put(&self, key: &str, data: &[u8]) {
        let (bucket, credentials) = self.bucket();
        let url = bucket.put_object(Some(&credentials), key).sign(Duration::from_secs(60));
        AGENT.with(|agent| agent.put(url.as_str()).send(data).expect("stored"));
    }

    /// Deletes an object.
    pub fn delete(&self, key: &str) {
        let (bucket, credentials) = self.bucket();
        let url = bucket.delete_object(Some(&credentials), key).sign(Duration::from_secs(60));
        AGENT.with(|agent| agent.delete(url.as_str()).call().expect("deleted"));
    }

    /// Reads an object, if it exists.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let (bucket, credentials) = self.bucket();
        let url = bucket.get_object(Some(&credentials), key).sign(Duration::from_secs(60));
        AGENT.with(|agent| agent.get(url.as_str()).call().ok()?.body_mut().read_to_vec().ok())
    }
}

thread_local! {
    static AGENT: ureq::Agent = ureq::Agent::new_with_defaults();
}

impl Drop for S3Server {
    fn drop(&mut self) {
        match self.kind {
            Kind::Rclone { .. } => self.kill(),
            Kind::Ceph => {
                let _ = ceph_lab(&["stop", self.folder.path().to_str().unwrap_or_default()]);
            }
        }
    }
}

/// The program; the environment variable `RCLONE` can name another one.
pub fn rclone() -> String {
    std::env::var("RCLONE").unwrap_or_else(|_| "rclone".to_owned())
}

fn ceph_lab(args: &[&str]) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/ceph_lab.sh");
    for program in ["ceph-mon", "ceph-osd", "ceph", "radosgw"] {
        if Command::new(program).arg("--version").output().is_err() {
            return Err(format!("{program} is not installed"));
        }
    }
    let output = Command::new(script).args(args).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn make_certificate(folder: &Path) -> Result<(), String> {
    let (key, certificate) = (folder.join("key.pem"), folder.join("cert.pem"));
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .output()
        .map_err(|error| format!("openssl cannot be run: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

//! Installations with their blobs in a bucket.

use crate::common::install::Install;
use crate::common::proxy::{Fault, Proxy};
use crate::common::s3_server::{BUCKET, S3Server};
use crate::common::skip;

/// A server. `None` if there is none; the test is then reported as skipped.
pub fn rclone(test: &str) -> Option<S3Server> {
    S3Server::rclone().map_err(|reason| skip(test, &reason)).ok()
}

/// One server of each kind that is installed.
pub fn servers(test: &str) -> Vec<S3Server> {
    let radosgw = S3Server::radosgw().map_err(|reason| skip(test, &reason)).ok();
    rclone(test).into_iter().chain(radosgw).collect()
}

/// Changes an installation's configuration so that its blobs are in the bucket.
pub fn use_bucket(install: &Install, server: &S3Server) {
    let text = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("path:")).collect();
    let keys = format!(
        "type: s3\nendpoint_url: {}\nbucket_name: {BUCKET}\naws_access_key_id: {}\naws_secret_access_key: {}\n",
        server.endpoint(),
        server.key,
        server.secret
    );
    let text = (lines.join("\n") + "\n").replace("type: backy2.data_backends.file\n", &keys);
    assert!(text.contains(&keys), "{text}");
    std::fs::write(install.path("backy.cfg"), text).expect("write");
}

/// A new installation with its blobs in the bucket.
pub fn installed(server: &S3Server, block_size: u32) -> Install {
    let install = Install::new(block_size);
    use_bucket(&install, server);
    install
}

/// Puts a proxy that fails by plan between the installation and the server.
pub fn through(
    install: &Install,
    server: &S3Server,
    plan: impl Fn(u64, &str) -> Fault + Send + Sync + 'static,
) -> Proxy {
    let proxy = Proxy::start(server.address(), plan);
    install.set_in("DataBackend", "endpoint_url", &proxy.endpoint());
    proxy
}

/// The bucket holds exactly the blobs that versions name.
pub fn assert_no_strays(install: &Install, server: &S3Server) {
    let named: Vec<String> = install.named_uids().into_iter().collect();
    assert_eq!(server.blobs(), named);
    install.assert_database();
}

//! Wrong settings give one clear line each, within seconds.

use crate::common::install::{Install, noise};
use crate::common::s3_server::S3Server;
use crate::setup::{installed, rclone, servers};
use std::time::{Duration, Instant};

/// Backup and restore fail with the code, and print each of the words once, within seconds.
fn fails(install: &Install, code: i32, words: &[&str]) {
    let source = install.image("image", &noise(10, 40_960));
    let target = install.url("out");
    for args in [&["backup", &source, "b"][..], &["restore", "-f", "good", &target]] {
        let started = Instant::now();
        let error = install.fails(code, args);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(15), "{args:?} took {took:?}");
        let lines: Vec<&str> = error.lines().filter(|line| line.contains("[DataBackend]")).collect();
        assert_eq!(lines.len(), 1, "one line tells it: {error}");
        for word in words {
            assert!(lines[0].contains(word), "{args:?} must say {word:?}: {error}");
        }
    }
}

/// An installation with one good version.
fn good(server: &S3Server) -> Install {
    let install = installed(server, 4096);
    install.ok(&["backup", &install.image("image", &noise(11, 40_960)), "good"]);
    install
}

#[test]
fn a_wrong_secret_or_key_is_reported() {
    for server in servers("a_wrong_secret_or_key_is_reported") {
        let install = good(&server);
        install.set_in("DataBackend", "aws_secret_access_key", "another/secret/of/the/right/length/000001");
        fails(&install, 6, &["403 SignatureDoesNotMatch", "aws_secret_access_key"]);
        install.set_in("DataBackend", "aws_access_key_id", "TESTACCESSKEY9999999");
        fails(&install, 6, &["403 InvalidAccessKeyId", "aws_access_key_id"]);
    }
}

#[test]
fn a_missing_bucket_is_reported() {
    for server in servers("a_missing_bucket_is_reported") {
        let install = good(&server);
        install.set_in("DataBackend", "bucket_name", "elsewhere");
        fails(&install, 6, &["404 NoSuchBucket", "bucket_name"]);
        assert!(install.is_valid(&install.uids(&["good"])[0]), "no blob counts as missing");
    }
}

#[test]
fn missing_credentials_are_reported() {
    let Some(server) = rclone("missing_credentials_are_reported") else { return };
    let install = good(&server);
    let text = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("aws_secret")).collect();
    std::fs::write(install.path("backy.cfg"), lines.join("\n") + "\n").expect("write");
    fails(&install, 1, &["aws_secret_access_key is missing", "AWS_SECRET_ACCESS_KEY"]);
    install.ok(&["ls"]);
}

#[test]
fn a_host_that_is_not_there_is_reported() {
    let Some(mut server) = rclone("a_host_that_is_not_there_is_reported") else { return };
    let install = good(&server);
    server.kill();
    fails(&install, 6, &["refused", "endpoint_url"]);
    install.set_in("DataBackend", "endpoint_url", "http://nowhere.invalid");
    fails(&install, 6, &["endpoint_url"]);
}

#[test]
fn http_and_https_are_not_confused() {
    let Some(server) = rclone("http_and_https_are_not_confused") else { return };
    let install = good(&server);
    install.set_in("DataBackend", "endpoint_url", &format!("https://{}", server.address()));
    fails(&install, 6, &["TLS failed", "endpoint_url and use_ssl"]);

    let Ok(server) = S3Server::rclone_tls()
        .map_err(|reason| crate::common::skip("http_and_https_are_not_confused", &reason))
    else {
        return;
    };
    install.set_in("DataBackend", "endpoint_url", &format!("http://{}", server.address()));
    fails(&install, 6, &["endpoint_url and use_ssl"]);
}

#[test]
fn no_message_shows_a_secret() {
    let Some(server) = rclone("no_message_shows_a_secret") else { return };
    let install = good(&server);
    install.set_in("DataBackend", "bucket_name", "elsewhere");
    let source = install.image("image", &noise(12, 4096));
    let run = install.run(&["-d", "backup", &source, "a"]);
    let log = std::fs::read_to_string(install.path("backy.log")).expect("read");
    for text in [&run.stdout, &run.stderr, &log] {
        assert!(!text.contains(&server.secret) && !text.contains("X-Amz-Signature"), "{text}");
    }
}

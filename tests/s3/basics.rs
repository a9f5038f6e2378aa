//! A bucket can do everything that the file store can.

use crate::common::fixture::{restores_right, versions};
use crate::common::install::{Install, noise};
use crate::common::proxy::Fault;
use crate::common::s3_server::BUCKET;
use crate::setup::{installed, rclone, servers, through, use_bucket};

#[test]
fn the_quick_start_on_a_bucket() {
    for server in servers("the_quick_start_on_a_bucket") {
        let install = installed(&server, 4 << 20);
        let image = noise(1, (40 << 20) + 17);
        let source = install.image("rnd.img", &image);
        let first = install.backup(&[&source, "rnd"]);
        let second = install.backup(&[&source, "rnd"]);
        let written = format!("SELECT blocks_written FROM stats WHERE version_uid = '{second}'");
        assert_eq!(install.count(&written), 0, "all of it was known");
        install.ok(&["scrub", "-s", &source, &first]);
        assert!(install.restored(&first, "out.img") == image);

        install.ok(&["rm", &first]);
        install.ok(&["cleanup", "--dangerous-force"]);
        install.ok(&["scrub", &second]);
        install.ok(&["rm", &second]);
        let out = install.ok(&["cleanup", "--dangerous-force"]);
        assert!(out.contains("Deleted 11 blocks."), "{out}");
        // Nothing is left to delete.
        let out = install.ok(&["cleanup", "--full"]);
        assert!(out.contains("Removed 0 blobs"), "{out}");
    }
}

#[test]
fn blobs_of_2_13_in_a_bucket_are_scrubbed_and_restored() {
    for server in servers("blobs_of_2_13_in_a_bucket_are_scrubbed_and_restored") {
        let install = Install::fixture("A");
        let blobs = install.blobs();
        use_bucket(&install, &server);
        // As in 2.13, the key is the uid.
        for blob in &blobs {
            let uid = blob.file_stem().and_then(|stem| stem.to_str()).expect("a name");
            server.put(uid, &std::fs::read(blob).expect("read"));
        }
        std::fs::remove_dir_all(install.path("data")).expect("gone");
        restores_right(&install, "A");
        for version in versions("A") {
            let damaged = version.uid == "dd3de788-e505-11f1-90ca-02fc00000001";
            let run = install.run(&["scrub", &version.uid]);
            assert_eq!(run.code, if damaged { 20 } else { 0 }, "{run:?}");
            assert!(!damaged || run.stderr.contains("missing from the data store"), "{run:?}");
        }
    }
}

#[test]
fn new_objects_are_named_by_their_uid_alone() {
    let Some(server) = rclone("new_objects_are_named_by_their_uid_alone") else { return };
    let install = installed(&server, 4096);
    install.set("encryption_version", "0");
    let image = noise(2, 4096);
    install.backup(&[&install.image("a.img", &image), "a"]);
    let [object] = &server.blobs()[..] else { panic!("one blob") };
    assert!(install.named_uids().iter().eq([object]));
    assert!(std::fs::read(server.bucket_folder().join(object)).expect("read") == image);
}

#[test]
fn credentials_may_be_in_files_and_in_the_environment() {
    let Some(server) = rclone("credentials_may_be_in_files_and_in_the_environment") else { return };
    let install = Install::new(4096);
    let text = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let address = server.address();
    let minio = format!("type: minio\nhost: {address}\nsecure: no\nbucket_name: {BUCKET}\n");
    let text = text.replace("type: backy2.data_backends.file\n", &minio);
    std::fs::write(install.path("backy.cfg"), &text).expect("write");
    let source = install.image("a.img", &noise(3, 8192));

    let mut command = install.command(&["backup", &source, "a"]);
    command.env("AWS_ACCESS_KEY_ID", &server.key).env("AWS_SECRET_ACCESS_KEY", &server.secret);
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{output:?}");

    std::fs::write(install.path("id"), format!("{}\n", server.key)).expect("write");
    std::fs::write(install.path("secret"), &server.secret).expect("write");
    install.set_in("DataBackend", "aws_access_key_id_file", &install.text("id"));
    install.set_in("DataBackend", "aws_secret_access_key_file", &install.text("secret"));
    install.ok(&["scrub", "a"]);
    std::fs::write(install.path("secret"), "\n").expect("write");
    let error = install.fails(1, &["scrub", "a"]);
    assert!(error.contains("aws_secret_access_key_file") && error.contains("/secret"), "{error}");
    std::fs::remove_file(install.path("secret")).expect("removed");
    let error = install.fails(1, &["scrub", "a"]);
    assert!(error.contains("aws_secret_access_key_file"), "{error}");
}

#[test]
fn https_trusts_the_authorities_of_the_system() {
    let Ok(server) = crate::common::s3_server::S3Server::rclone_tls()
        .map_err(|reason| crate::common::skip("https_trusts_the_authorities_of_the_system", &reason))
    else {
        return;
    };
    let install = installed(&server, 4096);
    let image = noise(4, 40_960);
    let source = install.image("a.img", &image);
    let started = std::time::Instant::now();
    let error = install.fails(6, &["backup", &source, "a"]);
    assert!(error.contains("certificate") && error.contains("SSL_CERT_FILE"), "{error}");
    assert!(started.elapsed().as_secs() < 5);
    for args in [&["backup", &source, "b"][..], &["restore", "b", &install.url("out")]] {
        let output = install.command(args).env("SSL_CERT_FILE", server.certificate()).output().expect("runs");
        assert!(output.status.success(), "{output:?}");
    }
    assert!(std::fs::read(install.path("out")).expect("read") == image);
}

#[test]
fn connections_are_used_again() {
    let Some(server) = rclone("connections_are_used_again") else { return };
    let install = installed(&server, 4096);
    let proxy = through(&install, &server, |_, _| Fault::None);
    install.backup(&[&install.image("a.img", &noise(5, 100 * 4096)), "a"]);
    assert_eq!(proxy.count("PUT"), 103, "one for the identity of the store, and two for copies of metadata");
    assert!(
        proxy.connections() <= 4,
        "{} for 3 writes at the same time and the listing",
        proxy.connections()
    );
    drop(proxy);
    let proxy = through(&install, &server, |_, _| Fault::None);
    install.ok(&["scrub", "a"]);
    assert!(proxy.count("GET") > 100 && proxy.connections() <= 4, "{}", proxy.connections());
}

//! `check` compares a bucket with the database, by its listing.

use crate::common::install::{Install, Run, noise};
use crate::setup::{installed, servers};

/// The line of a point.
fn line<'r>(run: &'r Run, point: &str) -> &'r str {
    let found = run.stdout.lines().find(|line| line.split('|').nth(1) == Some(point));
    found.unwrap_or_else(|| panic!("{point} is not in {run:?}"))
}

fn check(install: &Install) -> Run {
    install.run(&["-ms", "check", "--read", "100"])
}

#[test]
fn a_bucket_is_compared_with_the_database() {
    for server in servers("a_bucket_is_compared_with_the_database") {
        let install = installed(&server, 4096);
        let uid = install.backup(&[&install.image("a.img", &noise(1, 12 * 4096)), "vm"]);
        let run = check(&install);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(line(&run, "blobs").contains("12 blobs in the store"), "{run:?}");
        assert!(line(&run, "data").contains("12 blobs were read, and all are good"), "{run:?}");
        assert!(line(&run, "clock").contains("the data store has the same time"), "{run:?}");

        // One blob is cut off, one is gone, and one is of another installation.
        let short = install.blob_uid(&uid, 3);
        server.put(&short, b"x");
        let gone = install.blob_uid(&uid, 4);
        server.delete(&gone);
        let other = Install::new(4096);
        let foreign = other.backup(&[&other.image("b.img", &noise(2, 4096)), "b"]);
        let foreign = other.blob_uid(&foreign, 0);
        server.put(&foreign, &std::fs::read(other.blob(&foreign)).expect("read"));
        let run = check(&install);
        assert_eq!(run.code, 20, "{run:?}");
        let blobs = line(&run, "blobs");
        assert!(blobs.contains("1 blob is missing") && blobs.contains(&gone), "{blobs}");
        assert!(blobs.contains("1 blob has an impossible size") && blobs.contains(&short), "{blobs}");
        assert!(blobs.contains(&uid) && !blobs.contains("named by nothing"), "it is too young: {blobs}");
        assert!(line(&run, "data").contains("2 blobs are bad"), "{run:?}");
        assert!(install.is_valid(&uid), "a check marks nothing");

        // Nothing listens there.
        install.set_in("DataBackend", "endpoint_url", "http://127.0.0.1:9");
        install.set_in("DataBackend", "retry_time", "1");
        let run = check(&install);
        assert_eq!(run.code, 20, "{run:?}");
        assert!(line(&run, "data store").starts_with("wrong|"), "{run:?}");
        for point in ["hash function", "blobs", "data"] {
            assert!(line(&run, point).starts_with("not checked|"), "{run:?}");
        }
    }
}

//! The database is lost, and made anew from a bucket.

use crate::common::install::{Install, noise};
use crate::common::s3_server::S3Server;
use crate::setup::{installed, rclone, servers};

const BLOCK: usize = 4096;

/// An installation with two versions of one image, and one that was removed.
fn with_a_history(server: &S3Server) -> Install {
    let install = installed(server, BLOCK as u32);
    let mut image = noise(5, 12 * BLOCK);
    install.backup(&["-t", "daily", &install.image("a.img", &image), "a"]);
    image[2 * BLOCK..4 * BLOCK].fill(0);
    let second = install.backup(&[&install.image("a.img", &image), "a"]);
    let gone = install.backup(&[&install.image("b.img", &noise(6, 3 * BLOCK)), "b"]);
    install.ok(&["rm", "-f", &gone]);
    install.ok(&["protect", &second]);
    install.ok(&["expire", &second, "2031-05-06"]);
    install
}

/// What commands show of the versions, and their data.
fn shown(install: &Install) -> Vec<String> {
    let mut all: Vec<String> = [&["-ms", "ls"][..], &["-ms", "du"], &["diff-meta", "a:0", "a:1"]]
        .map(|args| install.ok(args))
        .into();
    let hash = |uid: &String| format!("{:?}", blake3::hash(&install.restored(uid, "out")));
    all.extend(install.uids(&[]).iter().map(hash));
    all
}

/// Loses the database and rebuilds it. Everything is as before, and work goes on.
fn comes_back(install: &Install) {
    let before = shown(install);
    install.lose_database();
    let told = install.ok(&["rebuild"]);
    assert!(told.contains("`backy2 check`"), "{told}");
    assert_eq!(shown(install), before);
    for args in [&["rebuild", "--check"][..], &["check", "--read", "100"], &["scrub", "a"]] {
        install.ok(args);
    }
    let new = install.backup(&[&install.image("c.img", &noise(7, 5 * BLOCK)), "c"]);
    install.ok(&["cleanup", "--dangerous-force"]);
    install.ok(&["cleanup", "--full"]);
    assert!(install.restored(&new, "out") == noise(7, 5 * BLOCK));
    install.ok(&["check", "--read", "100"]);
}

/// The keys of all copies that the database knows.
fn copies(install: &Install) -> Vec<String> {
    let lists =
        install.texts("SELECT name FROM index_objects").into_iter().map(|name| format!("index/{name}"));
    lists.chain(install.uids(&[]).into_iter().map(|uid| format!("versions/{uid}"))).collect()
}

#[test]
fn a_lost_database_comes_back_from_a_bucket() {
    for server in servers("a_lost_database_comes_back_from_a_bucket") {
        let install = with_a_history(&server);
        install.ok(&["check"]);
        comes_back(&install);
        // A second time, with what was added.
        comes_back(&install);
    }
}

#[test]
fn after_a_full_cleanup_by_2_13_a_backup_makes_a_bucket_whole() {
    for server in servers("after_a_full_cleanup_by_2_13_a_backup_makes_a_bucket_whole") {
        let install = with_a_history(&server);
        // It deletes every key that is no blob, and every blob that no row names.
        copies(&install).iter().for_each(|key| server.delete(key));
        install.texts("SELECT uid FROM deleted_blocks").iter().for_each(|uid| server.delete(uid));
        server.delete("backy2.store");
        install.fails(20, &["check"]);
        install.backup(&[&install.url("a.img"), "a"]);
        for args in [&["check"][..], &["rebuild", "--check"]] {
            install.ok(args);
        }
        comes_back(&install);
    }
}

#[test]
fn copies_that_were_deleted_in_a_bucket_are_written_again() {
    let Some(server) = rclone("copies_that_were_deleted_in_a_bucket_are_written_again") else { return };
    let install = with_a_history(&server);
    copies(&install).iter().for_each(|key| server.delete(key));
    // A backup cannot know that they are gone.
    install.backup(&[&install.url("a.img"), "a"]);
    let run = install.run(&["-ms", "check"]);
    assert!(run.code == 20 && run.stdout.contains("wrong|copies|"), "{run:?}");
    install.ok(&["check", "--write-metadata"]);
    install.assert_copies_in(&server.bucket_folder());
    comes_back(&install);
}

//! The layout of the tree, and its updates when the database changes.

use super::mount::{Mount, SOON};
use crate::common::checks::wait_until;
use crate::common::database::padded;
use crate::common::install::{Install, noise};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Instant;

const BLOCK: usize = 64 << 10;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("listed");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_tree_is_as_the_manual_says() {
    if !Mount::possible("the_tree_is_as_the_manual_says") {
        return;
    }
    let install = Install::new(BLOCK as u32);
    let mut image = noise(1, 5 * BLOCK + 100);
    image[BLOCK..3 * BLOCK].fill(0);
    let args = ["-t", "b,a", "-e", "2050-04-20 01:02:03", "-s", "snap1"];
    let first = install.backup(&[&args[..], &[&install.image("image", &image), "vm1"]].concat());
    let second = install.backup(&[&install.image("image2", b"small"), "vm1"]);
    let slash = install.backup(&["null://64kB", "pool/vm 2"]);
    install.ok(&["protect", &first]);
    install.change(&format!("UPDATE versions SET valid = 0 WHERE uid = '{slash}'"));
    let mount = Mount::new(&install, &[]);

    assert_eq!(names(&mount.path("")), ["by_name", "by_version_uid"]);
    assert_eq!(names(&mount.path("by_name")), ["pool%2Fvm 2", "vm1"]);
    assert_eq!(names(&mount.path("by_name/pool%2Fvm 2")), [&slash[..]]);
    let mut both = vec![first.clone(), second.clone(), "latest".to_owned()];
    both.sort();
    assert_eq!(names(&mount.path("by_name/vm1")), both);
    for (link, uid) in [(&first[..], &first), ("latest", &second)] {
        let target = fs::read_link(mount.path("by_name/vm1").join(link)).expect("a link");
        assert_eq!(target, Path::new("../../by_version_uid").join(uid));
    }
    let folder = mount.path("by_version_uid").join(&first);
    assert_eq!(names(&folder), ["data", "expire", "name", "protected", "snapshot_name", "tags", "valid"]);
    for (name, text) in [
        ("expire", "2050-04-20T01:02:03"),
        ("name", "vm1"),
        ("protected", "protected"),
        ("snapshot_name", "snap1"),
        ("tags", "a,b"),
        ("valid", "valid"),
    ] {
        let content = read(&folder.join(name));
        // Each engine lists tags in its own order.
        let mut words: Vec<&str> = content.split(',').collect();
        words.sort_unstable();
        assert_eq!(words.join(","), text, "{name}");
        assert_eq!(fs::metadata(folder.join(name)).expect("there").mode() & 0o7777, 0o600);
    }
    let metadata = fs::metadata(&folder).expect("there");
    assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o700, 0));
    let date = install.texts(&format!("SELECT date FROM versions WHERE uid = '{first}'")).remove(0);
    let date = chrono::NaiveDateTime::parse_from_str(&date, "%Y-%m-%d %H:%M:%S%.f").expect("a date");
    assert_eq!(metadata.mtime(), date.and_utc().timestamp());
    assert_eq!(
        names(&mount.path("by_version_uid").join(&slash)),
        ["data", "expire", "invalid", "name", "snapshot_name", "tags"]
    );
    assert!(fs::read(folder.join("data")).expect("read") == image);
    assert_eq!(read(&mount.path("by_name/vm1/latest/data")), "small");
    for change in [
        fs::write(folder.join("name"), "x"),
        fs::remove_file(folder.join("data")),
        fs::create_dir(folder.join("x")),
    ] {
        let error = change.expect_err("the tree cannot be changed");
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::PERM.raw_os_error()));
    }
    mount.unmount();
    install.assert_sound();
}

#[test]
fn a_date_in_the_future_makes_no_version_the_latest() {
    if !Mount::possible("a_date_in_the_future_makes_no_version_the_latest") {
        return;
    }
    let install = Install::new(BLOCK as u32);
    let image = install.image("image", &noise(1, BLOCK));
    let first = install.backup(&[&image, "vm"]);
    install.change("UPDATE versions SET date = '2999-01-01 00:00:00.000000'");
    let latest = |uid: &str| {
        let mount = Mount::new(&install, &[]);
        let target = fs::read_link(mount.path("by_name/vm/latest")).expect("a link");
        assert_eq!(target, Path::new("../../by_version_uid").join(uid));
        let date = fs::metadata(mount.data(&first)).expect("there").mtime();
        assert!(date > 32_000_000_000, "{date}");
        mount.unmount();
    };
    latest(&first);
    let second = install.backup(&[&image, "vm"]);
    latest(&second);
}

#[test]
fn changes_show_in_a_mount() {
    if !Mount::possible("changes_show_in_a_mount") {
        return;
    }
    let install = Install::new(BLOCK as u32);
    let first = install.backup(&[&install.image("image", &noise(1, 3 * BLOCK)), "vm"]);
    let mount = Mount::new(&install, &[]);
    assert_eq!(names(&mount.path("by_version_uid")), [&first[..]]);
    let image = noise(2, 2 * BLOCK);
    let second = install.backup(&[&install.image("image2", &image), "vm"]);
    wait_until("it appears", SOON, || mount.data(&second).exists());
    assert!(fs::read(mount.path("by_name/vm/latest/data")).expect("read") == image);
    install.ok(&["add-tag", &first, "extra"]);
    let tags = mount.path("by_version_uid").join(&first).join("tags");
    wait_until("the tag shows", SOON, || read(&tags).contains("extra"));

    let open = fs::File::open(mount.data(&first)).expect("opened");
    let refusal = install.fails(100, &["rm", "-f", &first]);
    assert!(refusal.contains(&first) && refusal.contains("has it mounted"), "{refusal}");
    let refusal = install.fails(100, &["cleanup", "--full"]);
    assert!(refusal.contains("Other backy instances are running"), "{refusal}");
    drop(open);
    // The kernel reports the end of the last handle a little later.
    wait_until("it can be removed", SOON, || install.run(&["rm", "-f", &first]).code == 0);
    wait_until("it is gone", SOON, || !mount.data(&first).exists());
    mount.unmount();
    install.assert_sound();
}

#[test]
fn a_bad_blob_is_an_error_for_its_range_only() {
    if !Mount::possible("a_bad_blob_is_an_error_for_its_range_only") {
        return;
    }
    let install = Install::new(BLOCK as u32);
    let image = noise(1, 20 * BLOCK);
    let uid = install.backup(&[&install.image("image", &image), "vm"]);
    let blob = install.blob(&install.blob_uid(&uid, 7));
    let mut data = fs::read(&blob).expect("read");
    let middle = data.len() / 2;
    data[middle] ^= 1;
    fs::write(&blob, data).expect("written");
    let mount = Mount::new(&install, &["--read-only"]);
    let file = fs::File::open(mount.data(&uid)).expect("opened");
    let mut page = vec![0; 4096];
    for at in (0..image.len()).step_by(4096) {
        let read = file.read_exact_at(&mut page, at as u64);
        if at / BLOCK == 7 {
            let error = read.expect_err("bad").raw_os_error();
            assert_eq!(error, Some(rustix::io::Errno::IO.raw_os_error()));
        } else {
            read.expect("read");
            assert!(page == image[at..at + 4096], "{at}");
        }
    }
    let error = fs::File::options().write(true).open(mount.data(&uid)).expect_err("read-only");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::ROFS.raw_os_error()));
    drop(file);
    let run = mount.unmount();
    assert_eq!(run.stderr.matches("is bad").count(), 1, "told once: {run:?}");
    assert!(run.stderr.contains(&format!("Version {uid}: block 7 ")), "{run:?}");
}

#[test]
fn a_thousand_versions_are_listed_in_a_second() {
    if !Mount::possible("a_thousand_versions_are_listed_in_a_second") {
        return;
    }
    let install = Install::new(BLOCK as u32);
    let uid = install.backup(&["null://64kB", "vm"]);
    let digits = padded("i", 8);
    install.change(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
         INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
         SELECT {digits} || '-e505-11f1-90ca-02fc00000001', date, 'vm' || (i % 50), '', 1, 65536, 1, 0
         FROM n, versions WHERE versions.uid = '{uid}'"
    ));
    let mount = Mount::new(&install, &[]);
    let start = Instant::now();
    let listing =
        crate::common::disk::run("ls", &["-l", mount.path("by_version_uid").to_str().expect("utf-8")]);
    let took = start.elapsed();
    assert_eq!(listing.expect("listed").lines().count(), 1001);
    println!("listed in {took:?}");
    assert!(took.as_millis() < 1000, "{took:?}");
    assert_eq!(names(&mount.path("by_name")).len(), 51);
    mount.unmount();
}

/// So `du` shows the right size, and `cp` keeps the holes.
#[test]
fn an_image_takes_as_much_as_is_stored_of_it() {
    if !Mount::possible("an_image_takes_as_much_as_is_stored_of_it") {
        return;
    }
    let install = Install::new(BLOCK as u32);
    let mut image = noise(1, 20 * BLOCK + 100);
    image[2 * BLOCK..18 * BLOCK].fill(0);
    let uid = install.backup(&[&install.image("image", &image), "vm"]);
    let empty = install.backup(&["null://64kB", "nothing"]);
    let mount = Mount::new(&install, &[]);
    let taken = |path: &Path| fs::metadata(path).expect("there").blocks() * 512;
    assert_eq!(taken(&mount.data(&uid)), (4 * BLOCK as u64 + 100).next_multiple_of(512));
    assert_eq!(fs::metadata(mount.data(&uid)).expect("there").len(), image.len() as u64);
    assert!(taken(&mount.data(&empty)) <= BLOCK as u64);
    let du = crate::common::disk::run("du", &["-B1", mount.data(&uid).to_str().expect("utf-8")]).expect("du");
    assert!(du.starts_with(&format!("{}\t", (4 * BLOCK + 100).next_multiple_of(512))), "{du}");
    let copy = install.path("copy");
    let (from, to) = (mount.data(&uid), install.text("copy"));
    crate::common::disk::run("cp", &[from.to_str().expect("utf-8"), &to]).expect("copied");
    assert!(fs::read(&copy).expect("read") == image);
    assert!(taken(&copy) < 6 * BLOCK as u64, "{}", taken(&copy));
    // Written data counts, too, while the mount keeps it.
    let file = fs::File::options().write(true).open(mount.data(&uid)).expect("opened");
    file.write_all_at(&[1; 3 * BLOCK], 5 * BLOCK as u64).expect("written");
    file.sync_all().expect("flushed");
    wait_until("what was written counts", SOON, || taken(&mount.data(&uid)) >= 7 * BLOCK as u64);
    drop(file);
    mount.unmount();
}

#[test]
fn a_version_whose_uid_is_no_file_name_harms_no_other() {
    if !Mount::possible("a_version_whose_uid_is_no_file_name_harms_no_other") {
        return;
    }
    let install = Install::new(BLOCK as u32);
    let image = noise(1, BLOCK);
    let uids: Vec<String> =
        (0..6).map(|_| install.backup(&[&install.image("image", &image), "vm"])).collect();
    let odd = ["a/b", "..", "latest", "x\ny"];
    for (uid, odd) in uids.iter().zip(odd) {
        install.change(&format!("DELETE FROM tags WHERE version_uid = '{uid}'"));
        install.change(&format!("UPDATE versions SET uid = '{odd}' WHERE uid = '{uid}'"));
    }
    install.change(&format!("UPDATE versions SET size_bytes = -1 WHERE uid = '{}'", uids[4]));
    let mount = Mount::new(&install, &[]);
    let mut wanted = ["a%2Fb", "%2E%2E", "%6Catest", "x\ny", &uids[5]].map(str::to_owned).to_vec();
    wanted.sort();
    assert_eq!(names(&mount.path("by_version_uid")), wanted);
    for name in &wanted {
        let data = fs::read(mount.path("by_version_uid").join(name).join("data"));
        // A version whose uid cannot name a lock file cannot be opened.
        assert!(name.contains('%') || data.expect("read") == image, "{name}");
        assert!(mount.path("by_name/vm").join(name).join("name").exists(), "{name}");
    }
    let run = mount.unmount();
    for told in ["\"a/b\" of a version cannot be a file name", "%2E%2E", "size_bytes is negative"] {
        assert_eq!(run.stdout.matches(told).count(), 1, "{told}: {run:?}");
    }
}

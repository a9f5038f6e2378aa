//! RBD images of all kinds as sources and targets: file systems, clones, namespaces, data pools; refused restores; and
//! clusters that do not answer.

use crate::common::ceph::{Ceph, errors, hints, with_env};
use crate::common::install::{Install, noise};
use crate::common::{disk, skip};
use backy2::io::Zeroing;
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const BLOCK: usize = 1 << 20;

/// Restores a version to a file and to an image, and compares both with Ceph's export of `at`.
fn assert_restored(ceph: &Ceph, install: &Install, uid: &str, at: &str) {
    let data = ceph.export(at);
    assert!(install.restored(uid, "out.img") == data, "{at}: the file differs");
    let name = format!("restored-{uid}");
    install.ok(&["restore", "-s", uid, &format!("rbd://rbd/{name}")]);
    assert!(ceph.export(&name) == data, "{at}: the image differs");
    ceph.rbd(&["rm", &name]);
}

#[test]
fn a_file_system_comes_back() {
    const TEST: &str = "a_file_system_comes_back";
    let Some(ceph) = Ceph::get(TEST) else { return };
    let install = ceph.install(BLOCK as u32);
    let (old, new) = (install.path("old.img"), install.path("new.img"));
    let folder = install.path("files");
    std::fs::create_dir(&folder).expect("made");
    for n in 0..20 {
        std::fs::write(folder.join(format!("f{n}")), noise(n, 300_000)).expect("written");
    }
    std::fs::File::create(&old).expect("made").set_len(64 << 20).expect("sized");
    let made = disk::run("mkfs.ext4", &["-q", "-d", disk::text(&folder), disk::text(&old)]);
    if let Err(error) = made {
        return skip(TEST, &error);
    }
    ceph.rbd(&["import", disk::text(&old), "root"]);
    ceph.rbd(&["snap", "create", "root@one"]);
    let full = install.backup(&["rbd://rbd/root@one", "root"]);
    let incremental = install.backup(&["--incremental", "rbd://rbd/root", "incremental"]);

    // Remove and write files, and copy the changed parts into the image.
    std::fs::copy(&old, &new).expect("copied");
    let debugfs =
        |command: &str| disk::run("debugfs", &["-w", "-R", command, disk::text(&new)]).expect(command);
    for n in 0..5 {
        debugfs(&format!("rm f{n}"));
    }
    debugfs(&format!("write {} more", disk::text(&folder.join("f19"))));
    let target = ceph.writer("rbd://rbd/root");
    disk::compare(&old, &new, 4096, |offset, old, new| {
        if old != new {
            target.write_at(offset, new).expect("written");
        }
    });
    target.flush().expect("flushed");
    drop(target);
    ceph.rbd(&["snap", "create", "root@two"]);
    assert!(ceph.export("root@two") == std::fs::read(&new).expect("read"));

    let source = "rbd://rbd/root@two";
    let list = hints(&ceph, &install, &["--whole-object", "--from-snap", "one", "root@two"]);
    for arguments in [&["-r", &list, "-f", &full][..], &["-f", &full]] {
        let uid = install.backup(&[arguments, &[source, "root"]].concat());
        assert_restored(&ceph, &install, &uid, "root@two");
        install.ok(&["scrub", "-s", source, &uid]);
    }
    let second = install.backup(&["--incremental", "rbd://rbd/root", "incremental"]);
    assert_restored(&ceph, &install, &second, "root@two");
    assert_restored(&ceph, &install, &incremental, "root@one");
    install.restored(&second, "out.img");
    disk::run("e2fsck", &["-fn", &install.text("out.img")]).expect("a good file system");
}

#[test]
fn clones_have_the_data_of_their_parents() {
    let Some(ceph) = Ceph::get("clones_have_the_data_of_their_parents") else { return };
    for (name, features) in [("fast", "61"), ("slow", "5")] {
        let install = ceph.install(BLOCK as u32);
        let (parent, clone) = (format!("parent-{name}"), format!("clone-{name}"));
        ceph.rbd(&["create", "--size", "24M", "--object-size", "1M", &parent]);
        ceph.writer(&format!("rbd://rbd/{parent}")).write_at(0, &noise(1, 8 * MIB)).expect("written");
        let (base, url) = (format!("{parent}@base"), format!("rbd://rbd/{clone}"));
        ceph.rbd(&["snap", "create", &base]);
        ceph.rbd(&["snap", "protect", &base]);
        ceph.rbd(&[
            "clone",
            "--image-feature",
            "layering,exclusive-lock,object-map,fast-diff,deep-flatten",
            &base,
            &clone,
        ]);
        if features == "5" {
            ceph.rbd(&["feature", "disable", &clone, "fast-diff", "object-map"]);
        }
        let target = ceph.writer(&url);
        target.write_at(2 * MIB as u64 + 7, &noise(2, 1000)).expect("written");
        target.write_at(20 * MIB as u64, &noise(3, MIB)).expect("written");
        target.flush().expect("flushed");
        drop(target);
        ceph.rbd(&["snap", "create", &format!("{clone}@a")]);
        let first = install.backup(&[&format!("{url}@a"), "vm"]);
        let read = format!("SELECT blocks_read FROM stats WHERE version_uid = '{first}'");
        assert_eq!(install.count(&read), 9, "{name}: eight blocks of the parent and one of its own");
        let incremental = install.backup(&["--incremental", &url, "incremental"]);
        assert_restored(&ceph, &install, &first, &format!("{clone}@a"));
        assert_restored(&ceph, &install, &incremental, &format!("{clone}@a"));
        // Zeros written over the parent's data must read as zeros.
        let target = ceph.writer(&url);
        target.zero(3 * MIB as u64..5 * MIB as u64 + 100, Zeroing::Always).expect("zeroed");
        target.flush().expect("flushed");
        drop(target);
        ceph.rbd(&["snap", "create", &format!("{clone}@b")]);
        let second = install.backup(&["-f", &first, &format!("{url}@b"), "vm"]);
        assert_restored(&ceph, &install, &second, &format!("{clone}@b"));
        // Shrink the clone into the parent's data, grow it again, and flatten it.
        ceph.rbd(&["resize", "--allow-shrink", "--size", "6M", &clone]);
        ceph.rbd(&["resize", "--size", "12M", &clone]);
        ceph.rbd(&["flatten", &clone]);
        ceph.rbd(&["snap", "create", &format!("{clone}@c")]);
        let third = install.backup(&["-f", &second, &format!("{url}@c"), "vm"]);
        assert_restored(&ceph, &install, &third, &format!("{clone}@c"));
        let last = install.backup(&["--incremental", &url, "incremental"]);
        assert_restored(&ceph, &install, &last, &format!("{clone}@c"));
    }
}

#[test]
fn namespaces_and_data_pools() {
    let Some(ceph) = Ceph::get("namespaces_and_data_pools") else { return };
    let install = ceph.install(BLOCK as u32);
    ceph.ceph(&["osd", "pool", "create", "bulk", "4"]);
    ceph.ceph(&["osd", "pool", "application", "enable", "bulk", "rbd"]);
    ceph.rbd(&["namespace", "create", "rbd/tenant"]);
    ceph.rbd(&["create", "--size", "16M", "--data-pool", "bulk", "rbd/tenant/disk"]);
    // An image with the same name in another namespace is another image.
    ceph.rbd(&["create", "--size", "16M", "rbd/disk"]);
    let url = "rbd://rbd/tenant/disk";
    ceph.writer(url).write_at(5_000_000, &noise(1, 3 * MIB)).expect("written");
    let first = install.backup(&["--incremental", url, "vm"]);
    ceph.writer(url).write_at(9_000_000, &noise(2, MIB)).expect("written");
    let second = install.backup(&["--incremental", url, "vm"]);
    let read = format!("SELECT blocks_read FROM stats WHERE version_uid = '{second}'");
    assert!(install.count(&read) < 16);
    assert_eq!(ceph.snapshots("rbd/tenant/disk").len(), 1);
    let data = ceph.export("rbd/tenant/disk");
    install.ok(&["restore", &second, "rbd://rbd/tenant/again"]);
    assert!(ceph.export("rbd/tenant/again") == data);
    assert!(install.restored(&second, "out.img") == data && install.restored(&first, "out.img") != data);
    // Restore to a new image that gets the data pool of Ceph's configuration.
    let conf = std::fs::read_to_string(&ceph.conf).expect("read");
    std::fs::write(install.path("ceph.conf"), conf + "\n[client]\nrbd default data pool = bulk\n")
        .expect("written");
    let file = install.text("ceph.conf");
    install.set_in("io_rbd", "ceph_conffile", &file);
    install.ok(&["restore", &second, "rbd://rbd/bulky"]);
    assert!(ceph.rbd(&["info", "rbd/bulky"]).contains("data_pool: bulk"));
    assert!(ceph.export("rbd/bulky") == data);
    install.refuses(
        1,
        &["restore", &second, "rbd://rbd/nowhere/x"],
        &["no namespace nowhere", "rbd namespace create"],
    );
}

#[test]
fn zeros_are_not_written_to_a_new_image_and_zeroed_in_an_old_one() {
    let Some(ceph) = Ceph::get("zeros_are_not_written_to_a_new_image_and_zeroed_in_an_old_one") else {
        return;
    };
    let install = ceph.install(BLOCK as u32);
    let mut data = vec![0; 64 * MIB];
    data[8 * MIB..9 * MIB].copy_from_slice(&noise(1, MIB));
    data[40 * MIB + 5..41 * MIB].fill(7);
    let size = data.len() - 4097;
    data.truncate(size);
    let uid = install.backup(&[&install.image("a.img", &data), "vm"]);
    ceph.adopt(
        &install,
        "new_image_features: RBD_FEATURE_LAYERING\n  RBD_FEATURE_STRIPINGV2 exclusive-lock\n  OBJECT_MAP\n",
    );
    install.ok(&["restore", &uid, "rbd://rbd/new"]);
    assert!(ceph.export("new") == data);
    assert_eq!(ceph.objects("rbd", "new"), 2, "objects that hold data");
    let info = ceph.rbd(&["info", "new"]);
    assert!(info.contains("features: layering, exclusive-lock, object-map"), "{info}");
    // Restore over old data, with and without -s: none of it may show.
    for sparse in [&["-s"][..], &[]] {
        ceph.writer("rbd://rbd/new").write_at(0, &noise(2, size)).expect("written");
        install.refuses(1, &["restore", &uid, "rbd://rbd/new"], &["Target already exists"]);
        install.ok(&[&["restore", "-f"], sparse, &[&uid, "rbd://rbd/new"]].concat());
        assert!(ceph.export("new") == data, "{sparse:?}");
        // The last object extends beyond the image, so it is emptied instead of removed.
        assert!(ceph.objects("rbd", "new") <= 3, "{sparse:?}");
    }
    // A larger image keeps the data beyond the version's end; a smaller one is refused, and so is one in use.
    ceph.rbd(&["create", "--size", "70M", "large"]);
    let tail = noise(3, 70 * MIB - size);
    ceph.writer("rbd://rbd/large").write_at(size as u64, &tail).expect("written");
    install.ok(&["restore", "-f", &uid, "rbd://rbd/large"]);
    assert!(ceph.export("large") == [&data[..], &tail].concat());
    ceph.rbd(&["create", "--size", "60M", "small"]);
    install.refuses(
        1,
        &["restore", "-f", &uid, "rbd://rbd/small"],
        &["too small", "Has 62914560b", "rbd resize"],
    );
    let held = ceph.writer("rbd://rbd/large");
    install.refuses(100, &["restore", "-f", &uid, "rbd://rbd/large"], &["in use by 127.0.0.1"]);
    drop(held);
    ceph.rbd(&["snap", "create", "large@s"]);
    install.refuses(100, &["restore", "-f", &uid, "rbd://rbd/large@s"], &["Leave @s out"]);
}

#[test]
fn a_restore_into_an_image_goes_on_where_it_was_killed() {
    let Some(ceph) = Ceph::get("a_restore_into_an_image_goes_on") else { return };
    let install = ceph.install(BLOCK as u32);
    let data = noise(1, 40 * MIB);
    let uid = install.backup(&[&install.image("a.img", &data), "vm"]);
    install.bandwidth(0, 10 << 20);
    let killed = install.killed_after(Duration::from_millis(2500), &["restore", &uid, "rbd://rbd/half"]);
    install.bandwidth(0, 0);
    let last = killed.stdout.lines().rev().find_map(|line| line.split("Last ID: ").nth(1)).expect("a block");
    let last: u64 = last.trim().parse().unwrap_or(0);
    // Ceph takes half a minute to notice that the writer is gone.
    let arguments = ["restore", "-c", &last.to_string(), &uid, "rbd://rbd/half"];
    let start = Instant::now();
    let mut run = install.run(&arguments);
    while run.code != 0 && start.elapsed() < Duration::from_secs(60) {
        assert!(run.stderr.contains("in use by"), "{run:?}");
        std::thread::sleep(Duration::from_secs(1));
        run = install.run(&arguments);
    }
    assert_eq!(run.code, 0, "{run:?}");
    assert!(ceph.export("half") == data, "from {last}");
}

#[test]
fn errors_are_one_clear_line() {
    let Some(ceph) = Ceph::get("errors_are_one_clear_line") else { return };
    let install = ceph.install(BLOCK as u32);
    ceph.rbd(&["create", "--size", "4M", "there"]);
    ceph.ceph(&["osd", "pool", "create", "other", "4"]);
    ceph.rbd(&["pool", "init", "other"]);
    ceph.rbd(&["create", "--size", "4M", "other/there"]);
    let uid = install.backup(&["rbd://rbd/there", "vm"]);
    let tell = |more: &str, code: i32, source: &str, words: &[&str]| {
        ceph.adopt(&install, more);
        for arguments in [
            &["backup", source, "vm"][..],
            &["backup", "--incremental", source, "vm"],
            &["scrub", "-s", source, &uid],
        ] {
            if arguments.len() == 4 && source.contains('@') {
                continue;
            }
            let start = Instant::now();
            let run = install.run(arguments);
            assert_eq!(run.code, code, "{arguments:?}: {run:?}");
            let told: Vec<&str> =
                errors(&run).into_iter().filter(|line| !line.contains("Backy failed.")).collect();
            assert_eq!(told.len(), 1, "{arguments:?}: {run:?}");
            assert!(run.stderr.lines().all(|line| line.is_empty() || line.contains("ERROR: ")), "{run:?}");
            assert!(
                words.iter().all(|word| told[0].contains(word)),
                "{arguments:?} must say {words:?}: {told:?}"
            );
            assert!(start.elapsed() < Duration::from_secs(15), "{arguments:?}: {:?}", start.elapsed());
        }
    };
    tell("", 1, "rbd://nosuch/there", &["there is no pool nosuch"]);
    tell("", 1, "rbd://rbd/nosuch", &["there is no image nosuch in the pool rbd", "rbd ls rbd"]);
    tell("", 1, "rbd://rbd/tenant2/there", &["in the namespace tenant2"]);
    tell("", 1, "rbd://rbd/there@nosuch", &["no snapshot nosuch", "rbd snap ls rbd/there"]);
    tell(
        "rados_name: client.nobody\n",
        100,
        "rbd://rbd/there",
        &["no connection", "client.nobody", "profile rbd"],
    );
    // This client has permissions only in the pool rbd.
    tell(
        "rados_name: client.backup\n",
        100,
        "rbd://other/there",
        &["not permitted", "client.backup", "profile rbd"],
    );
    ceph.adopt(&install, "rados_name: client.backup\n");
    install.backup(&["--incremental", "rbd://rbd/there", "vm"]);
    install.ok(&["restore", &uid, "rbd://rbd/as-backup"]);

    let good = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let conf = ceph.conf.display().to_string();
    std::fs::write(install.path("backy.cfg"), good.replace(&conf, "/nonexistent/ceph.conf"))
        .expect("written");
    let error = install.fails(1, &["backup", "rbd://rbd/there", "vm"]);
    assert!(error.contains("[io_rbd] ceph_conffile: /nonexistent/ceph.conf"), "{error}");
}

#[test]
fn a_monitor_that_does_not_answer_is_an_error() {
    let Some(ceph) = Ceph::get("a_monitor_that_does_not_answer_is_an_error") else { return };
    let install = ceph.install(BLOCK as u32);
    let uid = install.backup(&["null://1M", "vm"]);
    let good = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let conf = ceph.conf.display().to_string();
    let text = std::fs::read_to_string(&ceph.conf).expect("read");
    let dead = text
        .lines()
        .map(|line| if line.starts_with("mon host") { "mon host = [v2:127.0.0.1:1]" } else { line });
    std::fs::write(install.path("dead.conf"), dead.collect::<Vec<_>>().join("\n") + "\n").expect("written");
    let changed = good.replace(&conf, &install.text("dead.conf")).replace("timeout: 30s", "timeout: 2s");
    std::fs::write(install.path("backy.cfg"), changed).expect("written");
    for arguments in [["backup", "rbd://rbd/there", "vm"], ["restore", &uid, "rbd://rbd/new"]] {
        let start = Instant::now();
        let error = install.fails(100, &arguments);
        assert!(error.contains("did not answer within 2 seconds (timeout in [io_rbd])"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    }
}

#[test]
fn without_the_libraries_it_names_the_packages() {
    let install = Install::in_memory(BLOCK as u32);
    install.ok(&["initdb"]);
    // The loader takes the first file with that name, and this one is no library.
    for library in ["librbd.so.1", "librados.so.2"] {
        let folder = install.path(library).with_extension("d");
        std::fs::create_dir(&folder).expect("made");
        std::fs::write(folder.join(library), "no library").expect("written");
        let run =
            with_env(&install, "LD_LIBRARY_PATH", disk::text(&folder), &["backup", "rbd://rbd/x", "vm"]);
        assert_eq!(run.code, 100, "{run:?}");
        let told = errors(&run)[0];
        assert!(told.contains("librados2") && told.contains("librbd1") && told.contains("apt-get"), "{told}");
        // Commands without RBD still work.
        let run = with_env(&install, "LD_LIBRARY_PATH", disk::text(&folder), &["backup", "null://1M", "vm"]);
        assert_eq!(run.code, 0, "{run:?}");
    }
}

#[test]
fn a_cluster_that_stops_answering_ends_the_backup() {
    if Ceph::get("a_cluster_that_stops_answering_ends_the_backup").is_none() {
        return;
    }
    let ceph = Ceph::start();
    let install = ceph.install(BLOCK as u32);
    ceph.rbd(&["create", "--size", "64M", "disk"]);
    ceph.writer("rbd://rbd/disk").write_at(0, &noise(1, 64 * MIB)).expect("written");
    let text = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    std::fs::write(install.path("backy.cfg"), text.replace("timeout: 30s", "timeout: 3s")).expect("written");
    install.bandwidth(10 << 20, 0);
    let child = install.start(&["backup", "--incremental", "rbd://rbd/disk", "vm"]);
    crate::common::checks::wait_until("blocks are stored", Duration::from_secs(10), || {
        !install.blobs().is_empty()
    });
    let osd = Pid::from_raw(ceph.osd()).expect("a pid");
    kill_process(osd, Signal::STOP).expect("stopped");
    let start = Instant::now();
    let run = crate::common::checks::ended(child);
    kill_process(osd, Signal::CONT).expect("continued");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("did not answer within 3 seconds"), "{run:?}");
    assert_eq!(install.held_locks(), [""; 0]);
    // The cluster is back: the next run works, and cleans up.
    install.bandwidth(0, 0);
    std::thread::sleep(Duration::from_secs(1));
    let uid = install.backup(&["--incremental", "rbd://rbd/disk", "vm"]);
    assert_eq!(ceph.snapshots("disk").len(), 1);
    assert!(install.restored(&uid, "out.img") == ceph.export("disk"));
}

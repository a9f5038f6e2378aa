//! A mount that vanishes while a command uses the store on it.

use crate::common::checks::{ended, wait_until};
use crate::common::disk::{run, text};
use crate::common::install::{Install, noise};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BLOCK: usize = 4096;

/// An installation with a version of `blocks` different blocks, and its uid.
fn with_a_version(blocks: usize) -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let uid = install.backup(&[&install.image("a.img", &noise(5, blocks * BLOCK)), "a"]);
    (install, uid)
}

/// The folder `real`, mounted at the store's folder, which is empty below; unmounted when dropped.
struct Bound(PathBuf);

impl Bound {
    /// `None` if mounting is not allowed; the test is then reported as skipped.
    fn new(test: &str, install: &Install) -> Option<Self> {
        let (data, real) = (install.path("data"), install.path("real"));
        std::fs::rename(&data, &real).expect("moved");
        std::fs::create_dir(&data).expect("a mountpoint");
        match run("mount", &["--bind", text(&real), text(&data)]) {
            Ok(_) => Some(Bound(data)),
            Err(reason) => {
                crate::common::skip(test, &reason);
                None
            }
        }
    }

    /// Unmounts it while it is in use.
    fn vanish(&self) {
        run("umount", &["-l", text(&self.0)]).expect("unmounted");
    }

    fn again(&self, real: &Path) {
        run("mount", &["--bind", text(real), text(&self.0)]).expect("mounted");
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", text(&self.0)]);
    }
}

#[test]
fn a_mount_that_vanishes_meanwhile_is_no_damage() {
    let (install, uid) = with_a_version(40);
    let Some(mount) = Bound::new("a_mount_that_vanishes_meanwhile_is_no_damage", &install) else { return };
    // One blob is really missing. When a command asks for it, it looks at the path again.
    let lost = install
        .path("real")
        .join(install.blob(&install.blob_uid(&uid, 35)).strip_prefix(&mount.0).expect("in"));
    let aside = install.path("lost.blob");
    std::fs::rename(&lost, &aside).expect("moved");
    let state = || (install.table("SELECT uid, valid FROM blobs ORDER BY id"), install.is_valid(&uid));
    let before = state();
    install.bandwidth(0, 40_000);
    for args in [&["scrub", &uid][..], &["restore", "-f", &uid, &install.url("out")]] {
        let child = install.start(args);
        wait_until("it reads", Duration::from_secs(20), || {
            let open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).expect("listed");
            let real = install.path("real");
            open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
                .any(|to| to == real || to == mount.0)
        });
        std::thread::sleep(Duration::from_millis(300));
        mount.vanish();
        let run = ended(child);
        mount.again(&install.path("real"));
        assert_eq!(run.code, 6, "{args:?}: {run:?}");
        assert!(run.stderr.contains("is gone since the command began"), "{args:?}: {run:?}");
        assert!(state() == before, "{args:?}: nothing is marked");
    }
    install.bandwidth(0, 0);
    std::fs::rename(&aside, &lost).expect("moved back");
    install.ok(&["scrub", &uid]);
}

#[test]
fn a_backup_whose_mount_vanishes_meanwhile_fails_and_can_be_continued() {
    let (install, _) = with_a_version(3);
    let name = "a_backup_whose_mount_vanishes_meanwhile_fails_and_can_be_continued";
    let Some(mount) = Bound::new(name, &install) else { return };
    let image = noise(8, 200 * BLOCK);
    let source = install.image("slow.img", &image);
    install.bandwidth(100_000, 0);
    let child = install.start(&["backup", &source, "slow"]);
    wait_until("it has begun", Duration::from_secs(20), || install.newest("slow").is_some());
    std::thread::sleep(Duration::from_millis(500));
    mount.vanish();
    let run = ended(child);
    assert_eq!(run.code, 6, "{run:?}");
    assert!(
        std::fs::read_dir(install.path("data")).expect("listed").next().is_none(),
        "nothing is below the mount"
    );
    mount.again(&install.path("real"));
    install.bandwidth(0, 0);
    let (uid, valid) = install.newest("slow").expect("a version");
    assert!(!valid);
    install.ok(&["backup", "-c", &uid, &source, "slow"]);
    assert!(install.restored(&uid, "out") == image);
    assert_eq!(install.count("SELECT count(*) FROM blobs WHERE valid = 0"), 0);
}

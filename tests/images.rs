//! Real file systems in image files and on loop devices: 64 MiB with this project's files, or with `BACKY2_TESTS=all`
//! 512 MiB with those of `/usr/include`. Needs root, `losetup`, `mke2fs`, `e2fsck` and `mount`.

mod common;

use common::disk::{LoopDevice, Mounted, compare, run, text};
use common::install::Install;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// An installation whose folder holds `image`, an ext4 file system with real files that can be mounted.
struct Disk {
    install: Install,
    image: PathBuf,
}

/// The block size in bytes, and the size of the image in MiB.
fn sizes() -> (u32, u64) {
    if common::all() { (4 << 20, 512) } else { (256 << 10, 64) }
}

impl Disk {
    /// `None` if something is missing; the test is then reported as skipped.
    fn new(test: &str) -> Option<Self> {
        let (block_size, mib) = sizes();
        let install = Install::new(block_size);
        let disk = Disk { image: install.path("image"), install };
        match disk.make(mib) {
            Ok(()) => Some(disk),
            Err(reason) => {
                common::skip(test, &reason);
                None
            }
        }
    }

    /// Makes the file system, and checks that everything that the tests need works on this machine.
    fn make(&self, mib: u64) -> Result<(), String> {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let from = if common::all() { PathBuf::from("/usr/include") } else { project.join("src") };
        run("mke2fs", &["-q", "-t", "ext4", "-d", text(&from), text(&self.image), &format!("{mib}M")])?;
        let device = LoopDevice::attach(&self.image)?;
        fs::create_dir(self.install.path("mount")).expect("made");
        Mounted::mount(&device.0, &self.install.path("mount"))?;
        self.is_clean(text(&self.image));
        Ok(())
    }

    fn is_clean(&self, file_or_device: &str) {
        run("e2fsck", &["-fn", file_or_device]).expect("a file system without faults");
    }

    /// Changes the mounted file system as its users do: creates, changes and deletes files.
    fn change(&self) {
        let device = LoopDevice::attach(&self.image).expect("attached");
        let mounted = Mounted::mount(&device.0, &self.install.path("mount")).expect("mounted");
        let mut entries: Vec<PathBuf> =
            fs::read_dir(&mounted.at).expect("listed").map(|entry| entry.expect("entry").path()).collect();
        entries.sort();
        entries.retain(|path| path.is_dir() && !path.ends_with("lost+found"));
        fs::remove_dir_all(&entries[0]).expect("removed");
        fs::rename(&entries[1], mounted.at.join("renamed")).expect("renamed");
        for n in 0..20 {
            let data = common::install::noise(n, 100_000 + n as usize * 1000);
            fs::write(mounted.at.join(format!("new {n}")), data).expect("written");
        }
        fs::write(mounted.at.join("zeros"), vec![0; 3 << 20]).expect("written");
        fs::remove_file(mounted.at.join("new 7")).expect("removed");
    }

    /// The differences from `old` in the form of `rbd diff`, in pieces that do not match the blocks of the backup.
    fn hints(&self, old: &Path) -> String {
        let mut hints = Vec::new();
        compare(old, &self.image, 20 << 10, |offset, old, new| {
            if old != new {
                let exists = new.iter().any(|&byte| byte != 0);
                hints.push(format!(r#"{{"offset":{offset},"length":{},"exists":"{exists}"}}"#, new.len()));
            }
        });
        assert!(!hints.is_empty(), "nothing has changed");
        fs::write(self.install.path("hints"), format!("[{}]", hints.join(",\n"))).expect("written");
        self.install.text("hints")
    }

    fn url(&self) -> String {
        self.install.url("image")
    }
}

fn same(left: &Path, right: &Path) {
    run("cmp", &[text(left), text(right)]).expect("the same bytes");
}

/// Copies a file, with holes in place of zeros.
fn copy(from: &Path, to: &Path) {
    run("cp", &["--sparse=always", text(from), text(to)]).expect("copied");
}

/// Makes a file of the image's size without any zero bytes.
fn garbage(path: &Path) {
    let file = fs::File::create(path).expect("created");
    for _ in 0..sizes().1 {
        std::io::Write::write_all(&mut &file, &vec![0xaa; 1 << 20]).expect("written");
    }
}

#[test]
fn an_image_is_the_same_however_it_is_named() {
    let Some(disk) = Disk::new("an_image_is_the_same_however_it_is_named") else { return };
    let install = &disk.install;
    let first = install.backup(&[&disk.url(), "disk"]);
    let blobs = install.blobs().len();
    assert!(blobs > 3);
    let device = LoopDevice::attach(&disk.image).expect("attached");
    let device_url = format!("file://{}", device.0);
    // Relative paths work, as commands run in the folder of the installation.
    let bare = install.text("image");
    for source in [&bare[..], "file://image", "./image", &device_url, &device.0] {
        let uid = install.backup(&[source, "disk"]);
        assert_eq!(install.blobs().len(), blobs, "{source} is another image");
        let same_blobs = format!(
            "SELECT count(*) FROM blocks a JOIN blocks b ON a.id = b.id AND a.uid IS b.uid AND a.size = b.size
             WHERE a.version_uid = '{first}' AND b.version_uid = '{uid}'"
        );
        let blocks = (sizes().1 << 20) as i64 / i64::from(sizes().0);
        assert_eq!(install.count(&same_blobs), blocks, "{source}");
        install.ok(&["scrub", "-s", source, &first]);
    }
    // Targets may be named in the same ways.
    for (target, path) in [("./out.img", "out.img"), ("file://out2.img", "out2.img")] {
        install.ok(&["restore", &first, target]);
        same(&install.path(path), &disk.image);
    }
}

#[test]
fn a_file_system_that_was_worked_on_is_backed_up_with_and_without_hints() {
    const NAME: &str = "a_file_system_that_was_worked_on_is_backed_up_with_and_without_hints";
    let Some(disk) = Disk::new(NAME) else { return };
    let install = &disk.install;
    let base = install.backup(&[&disk.url(), "disk"]);
    let old = install.path("old");
    copy(&disk.image, &old);
    disk.change();
    let hints = disk.hints(&old);

    let hinted = install.backup(&["-r", &hints, "-f", &base, &disk.url(), "disk"]);
    let blobs = install.blobs().len();
    let whole = install.backup(&[&disk.url(), "disk"]);
    assert_eq!(install.blobs().len(), blobs, "with hints nothing was overlooked");
    let based = install.backup(&["-f", &base, &disk.url(), "disk"]);
    let device = LoopDevice::attach(&disk.image).expect("attached");
    let from_device = install.backup(&["-r", &hints, "-f", &base, &device.0, "disk"]);
    drop(device);
    let read =
        |uid: &str| install.count(&format!("SELECT blocks_read FROM stats WHERE version_uid = '{uid}'"));
    println!("blocks read with hints: {}, without: {}", read(&hinted), read(&whole));
    assert!(read(&hinted) < read(&whole), "hints spare reading");

    for uid in [&hinted, &whole, &based, &from_device] {
        let _ = fs::remove_file(install.path("out.img"));
        install.ok(&["restore", uid, "file://out.img"]);
        same(&install.path("out.img"), &disk.image);
        disk.is_clean(&install.text("out.img"));
        install.ok(&["scrub", "-s", &disk.url(), uid]);
    }
    // The first version is unchanged, also after the new ones are removed.
    for uid in [&hinted, &whole, &based, &from_device] {
        install.ok(&["rm", uid]);
    }
    install.ok(&["cleanup", "--dangerous-force"]);
    let _ = fs::remove_file(install.path("out.img"));
    install.ok(&["restore", &base, "file://out.img"]);
    same(&install.path("out.img"), &old);
    install.assert_sound();
    install.assert_no_waste();
}

#[test]
fn hints_of_another_image_are_noticed() {
    let Some(disk) = Disk::new("hints_of_another_image_are_noticed") else { return };
    let install = &disk.install;
    let base = install.backup(&[&disk.url(), "disk"]);
    let (block_size, mib) = sizes();
    // All blocks have changed, but the hints mention only the first one.
    garbage(&disk.image);
    let hints = format!(r#"[{{"offset": 0, "length": {block_size}, "exists": true}}]"#);
    fs::write(install.path("hints"), hints).expect("written");
    let error = install.fails(5, &["backup", "-r", "hints", "-f", &base, &disk.url(), "disk"]);
    assert!(error.contains("differ outside of the hints"), "{error}");
    assert_eq!(install.uids(&[]), [base], "no version of {mib} MiB is left");
}

#[test]
fn restored_to_files_it_is_a_clean_file_system_and_as_sparse_as_it_may_be() {
    const NAME: &str = "restored_to_files_it_is_a_clean_file_system_and_as_sparse_as_it_may_be";
    let Some(disk) = Disk::new(NAME) else { return };
    let install = &disk.install;
    let uid = install.backup(&[&disk.url(), "disk"]);
    let stored = install.count("SELECT sum(size) FROM blocks WHERE uid IS NOT NULL") as u64;
    let (plain, onto_garbage) = (install.path("plain.img"), install.path("garbage.img"));
    for path in [&plain, &onto_garbage] {
        for sparse in [false, true] {
            let name = format!("file://{}", text(path));
            if *path == onto_garbage {
                garbage(path);
                install.fails(1, &["restore", "-s", &uid, &name]);
            } else {
                let _ = fs::remove_file(path);
            }
            let options: &[&str] = if sparse { &["restore", "-f", "-s"] } else { &["restore", "-f"] };
            install.ok(&[options, &[&uid, &name]].concat());
            same(path, &disk.image);
            disk.is_clean(text(path));
            let on_disk = fs::metadata(path).expect("looked at").blocks() * 512;
            let most = stored + (1 << 20);
            assert!(!sparse || on_disk <= most, "{}: {on_disk} bytes instead of {stored}", path.display());
        }
    }
}

#[test]
fn restored_to_a_device_it_is_a_clean_file_system_that_can_be_mounted() {
    const NAME: &str = "restored_to_a_device_it_is_a_clean_file_system_that_can_be_mounted";
    let Some(disk) = Disk::new(NAME) else { return };
    let install = &disk.install;
    let uid = install.backup(&[&disk.url(), "disk"]);
    let mut targets = 0;
    for options in [&["restore", "-f"][..], &["restore", "-f", "-s"]] {
        garbage(&install.path("backing"));
        let device = LoopDevice::attach(&install.path("backing")).expect("attached");
        let error = install.fails(1, &["restore", &uid, &device.0]);
        assert!(error.contains("already exists"), "{error}");
        let run = install.run(&[options, &[&uid, &device.0]].concat());
        assert_eq!(run.code, 0, "{run:?}");
        // If the kernel cannot zero the device cheaply, the restore says so.
        if run.stdout.contains("old data of the target remains") {
            assert_eq!(options.len(), 3);
            println!("the device shows old data, as was said");
            continue;
        }
        same(Path::new(&device.0), &disk.image);
        disk.is_clean(&device.0);
        let mounted = Mounted::mount(&device.0, &install.path("mount")).expect("mounted");
        assert!(mounted.at.join("lost+found").is_dir());
        let error = install.fails(100, &["restore", "-f", &uid, &device.0]);
        assert!(error.contains("it is mounted"), "{error}");
        targets += 1;
    }
    assert!(targets > 0);
}

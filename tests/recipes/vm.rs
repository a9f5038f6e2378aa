//! Boots a small Linux under QEMU, for what the kernel of this machine may lack: a device mapper.
//!
//! The kernel is that of a package `linux-image-*`, installed or unpacked in the folder `BACKY2_TEST_KERNEL`. Everything
//! else comes from this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The modules that a guest needs for its disk and LVM.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_blk", "dm_mod", "dm_snapshot"];
/// A guest is emulated, because KVM inside of a guest is often there and useless. It needs half a minute.
const LIMIT: &str = "400";

/// A guest that runs one script and stops.
pub struct Guest {
    folder: tempfile::TempDir,
    kernel: PathBuf,
}

impl Guest {
    /// A guest in which these programs of this machine are in `/bin`, with their libraries.
    ///
    /// # Errors
    /// The name of a part that is missing.
    pub fn new(programs: &[&str]) -> Result<Self, String> {
        let place = std::env::var_os("BACKY2_TEST_KERNEL").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let busybox = find(&["/usr/bin/busybox", "/bin/busybox"]).ok_or("busybox-static is not installed")?;
        find(&["/usr/bin/qemu-system-x86_64"]).ok_or("qemu-system-x86 is not installed")?;
        let kernel =
            newest(&place.join("boot"), "vmlinuz-").ok_or("there is no kernel of a linux-image package")?;
        let release =
            kernel.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("vmlinuz-"));
        let release = release.ok_or("the kernel has no release")?.to_owned();
        let guest = Guest { folder: tempfile::tempdir().expect("a folder"), kernel };
        for folder in ["bin", "proc", "sys", "dev", "tmp", "run", "etc", "var/lock"] {
            fs::create_dir_all(guest.path(folder)).expect("a folder");
        }
        fs::copy(busybox, guest.path("bin/busybox")).expect("copied");
        let modules = place.join("lib/modules").join(&release).join("kernel");
        guest.copy_modules(&modules, &Path::new("lib/modules").join(&release))?;
        for program in programs {
            let program = find(&[program]).ok_or(format!("{program} is missing"))?;
            guest.copy_program(&program);
        }
        Ok(guest)
    }

    /// A path in the guest.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join("root").join(name)
    }

    /// Copies the modules of virtio, block devices and the device mapper.
    fn copy_modules(&self, from: &Path, to: &Path) -> Result<(), String> {
        if !from.join("drivers/md/dm-snapshot.ko").exists() {
            return Err(format!("{} has no module dm-snapshot", from.display()));
        }
        for part in ["drivers/virtio", "drivers/block", "drivers/md", "drivers/dax", "lib"] {
            let (source, target) = (from.join(part), self.path(to).join("kernel").join(part));
            fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
            // Some are a part of the kernel.
            if source.exists() {
                run(Command::new("cp").arg("-r").arg(&source).arg(&target));
            }
        }
        let release = to.file_name().expect("a name");
        run(Command::new("busybox").arg("depmod").arg("-b").arg(self.path("")).arg(release));
        Ok(())
    }

    /// Copies a program without its symbols, and its libraries.
    fn copy_program(&self, program: &Path) {
        let copy = self.path("bin").join(program.file_name().expect("a name"));
        run(Command::new("strip").arg("-o").arg(&copy).arg(program));
        let libraries = Command::new("ldd").arg(program).output().expect("runs");
        let text = String::from_utf8_lossy(&libraries.stdout).into_owned();
        for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
            let target = self.path(library.trim_start_matches('/'));
            fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
            fs::copy(library, target).expect("copied");
        }
    }

    /// Boots the guest with an empty disk, which is `/dev/vda` there, and runs a script. Returns what was printed on the
    /// console.
    pub fn boot(&self, script: &str) -> String {
        let modules = MODULES.join(" ");
        let init = format!(
            "#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin HOME=/tmp\n\
             mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n\
             modprobe -a {modules}\n{script}\nsync\npoweroff -f\n"
        );
        fs::write(self.path("init"), init).expect("written");
        run(Command::new("chmod").arg("+x").arg(self.path("init")));
        let (archive, disk) = (self.folder.path().join("initrd"), self.folder.path().join("disk"));
        let pack = format!("find . | busybox cpio -o -H newc >{} 2>/dev/null", archive.display());
        run(Command::new("sh").args(["-c", &pack]).current_dir(self.path("")));
        fs::File::create(&disk).and_then(|file| file.set_len(256 << 20)).expect("a disk");
        let output = Command::new("timeout")
            .args([LIMIT, "qemu-system-x86_64", "-nodefaults", "-nographic", "-no-reboot", "-m", "768"])
            .args(["-accel", "tcg", "-serial", "stdio", "-append", "console=ttyS0 panic=-1 quiet"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&archive)
            .args(["-drive", &format!("file={},format=raw,if=virtio,cache=unsafe", disk.display())])
            .stdin(Stdio::null())
            .output();
        let output = output.expect("runs");
        String::from_utf8_lossy(&output.stdout).replace('\r', "") + &String::from_utf8_lossy(&output.stderr)
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn find(places: &[&str]) -> Option<PathBuf> {
    places.iter().map(PathBuf::from).find(|path| path.exists())
}

/// The last file in a folder whose name begins so.
fn newest(folder: &Path, start: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    entries
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
        .max()
}

//! A running machine of libvirt, whose disk is an image file. It has no guest: the tests write to its disk through QEMU.

use crate::common::checks::wait_until;
use crate::common::install::{Install, Run, noise};
use crate::common::{documented, skip};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SIZE: usize = 8 << 20;
const LIMIT: Duration = Duration::from_secs(60);

/// The daemon of libvirt, with a configuration, sockets and users of its own in a mount namespace, and one machine.
struct Libvirt {
    install: Install,
    daemon: Child,
}

/// What is mounted in the namespace of the daemon.
const PREPARE: &str = "set -e
mkdir -p /etc/libvirt /var/lib/libvirt /run/libvirt /var/cache/libvirt /var/log/libvirt
cp /etc/passwd passwd; echo 'libvirt-qemu:x:64055:65534::/:/usr/sbin/nologin' >>passwd
cp /etc/group group; printf '%s\\n' 'kvm:x:64056:' 'libvirt-qemu:x:64055:' >>group
mount --bind passwd /etc/passwd; mount --bind group /etc/group
for place in etc run var/lib; do mkdir -p ./$place; mount --bind ./$place /$place/libvirt; done
printf '%s\\n' 'user = \"root\"' 'group = \"root\"' 'security_driver = \"none\"' 'cgroup_controllers = []' \\
    'namespaces = []' 'dynamic_ownership = 0' 'remember_owner = 0' 'stdio_handler = \"file\"' >/etc/libvirt/qemu.conf
exec libvirtd -f /dev/null -p libvirtd.pid -t 300";

impl Libvirt {
    /// Starts the daemon and the machine `web`, and configures the recipe. `None` if something is not installed.
    fn new(name: &str) -> Option<Self> {
        for program in ["/usr/sbin/libvirtd", "/usr/bin/virsh", "/usr/bin/qemu-system-x86_64"] {
            if !Path::new(program).exists() {
                skip(name, &format!("{program} is not installed"));
                return None;
            }
        }
        if !rustix::process::geteuid().is_root() {
            skip(name, "only root can start a libvirtd of its own");
            return None;
        }
        let install = Install::new(65536);
        std::fs::create_dir_all(install.path("virt/images")).expect("a folder");
        install.image("virt/images/web.img", &noise(1, SIZE));
        let recipe = documented::job("machines");
        assert!(recipe.contains("--quiesce"), "{recipe}");
        let recipe =
            recipe.replace(" --quiesce", "").replace("/var/lib/libvirt/images", &install.text("virt/images"));
        documented::add(&install, &recipe);
        let daemon = Command::new("unshare")
            .args(["--mount", "sh", "-c", PREPARE])
            .current_dir(install.path("virt"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(install.path("virt/log")).expect("a file"))
            .spawn();
        let libvirt = Libvirt { install, daemon: daemon.expect("starts") };
        wait_until("libvirtd answers", LIMIT, || libvirt.try_virsh(&["version"]).code == 0);
        let machine = format!(
            "<domain type='qemu'><name>web</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
             <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
             <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>
             <target dev='vda' bus='virtio'/></disk></devices></domain>",
            libvirt.image().display()
        );
        std::fs::write(libvirt.install.path("virt/web.xml"), machine).expect("written");
        libvirt.virsh(&["define", &libvirt.install.text("virt/web.xml")]);
        libvirt.virsh(&["start", "web"]);
        Some(libvirt)
    }

    fn image(&self) -> PathBuf {
        self.install.path("virt/images/web.img")
    }

    fn overlay(&self) -> PathBuf {
        self.install.path("virt/images/web.backy2")
    }

    fn address(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.install.text("virt/run/libvirt-sock"))
    }

    fn try_virsh(&self, args: &[&str]) -> Run {
        let output = Command::new("virsh").args(["-q", "-c", &self.address()]).args(args).output();
        Run::from(output.expect("runs"))
    }

    fn virsh(&self, args: &[&str]) -> String {
        let run = self.try_virsh(args);
        assert_eq!(run.code, 0, "{args:?}: {run:?}");
        run.stdout
    }

    /// A command of the monitor with which the machine writes `byte` to the first 64 KiB of its disk.
    fn write(byte: u8) -> String {
        let disk = "/machine/peripheral/virtio-disk0/virtio-backend";
        format!("qemu-io -d {disk} \"write -P {byte} 0 64k\"")
    }

    /// Runs a command of backy2, whose hooks find this libvirt.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.install.command(args);
        command.env("LIBVIRT_DEFAULT_URI", self.address()).stdin(Stdio::null());
        command
    }

    fn run(&self) -> Run {
        Run::from(self.command(&["run"]).output().expect("runs"))
    }

    /// The machine uses the image itself again, whose first bytes are these.
    fn is_back(&self, byte: u8) {
        assert!(self.virsh(&["domblklist", "web"]).contains("web.img"));
        assert!(!self.overlay().exists(), "the overlay is gone");
        let image = std::fs::read(self.image()).expect("read");
        assert!(image[..65536].iter().all(|b| *b == byte), "the image has what the machine has written");
    }

    /// Adds a line to the end of a hook.
    fn add_to(&self, key: &str, line: &str) {
        let path = self.install.path("backy.cfg");
        let config = std::fs::read_to_string(&path).expect("read");
        let end = if key == "before" { "\nafter:" } else { "\ntimeout:" };
        std::fs::write(path, config.replacen(end, &format!("\n    {line}{end}"), 1)).expect("written");
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        let _ = Command::new("virsh").args(["-q", "-c", &self.address(), "destroy", "web"]).output();
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn a_running_machine_writes_beside_its_image_during_the_backup() {
    let name = "a_running_machine_writes_beside_its_image_during_the_backup";
    let Some(libvirt) = Libvirt::new(name) else { return };
    libvirt.virsh(&["qemu-monitor-command", "web", "--hmp", &Libvirt::write(7)]);
    // Between the snapshot and the backup the machine writes again.
    libvirt.add_to("before", &format!("virsh -q qemu-monitor-command web --hmp '{}'", Libvirt::write(9)));
    let run = libvirt.run();
    assert_eq!((run.code, &run.stdout[..], &run.stderr[..]), (0, "", ""));
    let uid = libvirt.install.uids(&["web.img"]).remove(0);
    let mut wanted = noise(1, SIZE);
    wanted[..65536].fill(7);
    assert!(libvirt.install.restored(&uid, "out") == wanted, "the state of the snapshot");
    libvirt.is_back(9);
}

#[test]
fn a_machine_gets_its_image_back_after_a_failure_and_after_a_crash() {
    let name = "a_machine_gets_its_image_back_after_a_failure_and_after_a_crash";
    let Some(libvirt) = Libvirt::new(name) else { return };
    let store = libvirt.install.path("data");
    std::fs::rename(&store, libvirt.install.path("elsewhere")).expect("renamed");
    libvirt.add_to("before", &format!("virsh -q qemu-monitor-command web --hmp '{}'", Libvirt::write(3)));
    let run = libvirt.run();
    assert_eq!(run.code, 100, "{run:?}");
    libvirt.is_back(3);
    std::fs::rename(libvirt.install.path("elsewhere"), &store).expect("renamed");
    // The host fails: nothing runs afterwards.
    libvirt.virsh(&["snapshot-create-as", "web", "backy2", "--disk-only", "--atomic", "--no-metadata"]);
    assert!(libvirt.overlay().exists());
    let run = libvirt.run();
    assert_eq!((run.code, &run.stderr[..]), (0, ""), "{run:?}");
    libvirt.is_back(3);
    // A machine that is shut down needs no overlay.
    libvirt.virsh(&["destroy", "web"]);
    let config = libvirt.install.path("backy.cfg");
    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, text.replace("keep_daily: 8", "keep_last: 8").replace("keep_weekly: 5\n", ""))
        .expect("written");
    let run = libvirt.run();
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(libvirt.install.uids(&["web.img"]).len(), 2);
}

//! Many threads write and read at once, as in a running machine: no data is lost, and memory use stays limited.

use super::mount::Mount;
use crate::common::all;
use crate::common::install::{Install, noise};
use std::fs;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
const MIB: usize = 1 << 20;

/// Peak memory of a process in MiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") / 1024
}

#[test]
fn a_machines_workload_loses_no_write() {
    if !Mount::possible("a_machines_workload_loses_no_write") {
        return;
    }
    let install = Install::new(MIB as u32);
    let size = 256 * MIB;
    let image = noise(9, size);
    let uid = install.backup(&[&install.image("image", &image), "vm"]);
    install.set("mount_cache_size", &(64 * MIB).to_string());
    let mount = Mount::new(&install, &[]);
    let file = fs::File::options().read(true).write(true).open(mount.data(&uid)).expect("opened");
    let end = Instant::now() + Duration::from_secs(if all() { 60 } else { 4 });
    let threads = 4;
    let written: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (file, image) = (&file, &image);
                scope.spawn(move || {
                    writes_and_reads(file, image, size / threads * thread, size / threads, end)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no write was lost")).sum()
    });
    println!("{written} writes, peak {} MiB", peak(mount.pid()));
    assert!(written > 50, "{written}");
    // Enough for the cache, requests under way, and the program itself; the image has 256 MiB.
    assert!(peak(mount.pid()) < 200, "{} MiB", peak(mount.pid()));
    drop(file);
    mount.unmount();
    install.ok(&["scrub", &uid]);
    assert!(install.restored(&uid, "restored") == image, "the version is what it was");
}

/// Works on one thread's part of the image: 70 % writes of some pages or parts of them, 30 % reads that are compared.
fn writes_and_reads(file: &fs::File, image: &[u8], from: usize, length: usize, end: Instant) -> usize {
    let mut random = fastrand::Rng::with_seed(from as u64);
    let mut model = image[from..from + length].to_vec();
    let (mut written, mut buffer) = (0, vec![0; 16 * PAGE]);
    while Instant::now() < end {
        let start = random.usize(0..length / PAGE - 16) * PAGE;
        let (start, count) = match random.u8(0..4) {
            0 => (start + random.usize(0..8) * 512, 512 * random.usize(1..16)),
            _ => (start, PAGE * random.usize(1..=16)),
        };
        let at = (from + start) as u64;
        if random.u8(0..10) < 7 {
            buffer[..count].fill(random.u8(..));
            file.write_all_at(&buffer[..count], at).expect("written");
            model[start..start + count].copy_from_slice(&buffer[..count]);
            written += 1;
        } else {
            file.read_exact_at(&mut buffer[..count], at).expect("read");
            assert!(buffer[..count] == model[start..start + count], "at {at}");
        }
    }
    let mut all = vec![0; length];
    file.read_exact_at(&mut all, from as u64).expect("read");
    assert!(all == model, "a write was lost");
    written
}

#[test]
fn fio_verifies_its_writes() {
    const NAME: &str = "fio_verifies_its_writes";
    if !Mount::possible(NAME) {
        return;
    }
    if crate::common::disk::run("fio", &["--version"]).is_err() {
        return crate::common::skip(NAME, "there is no fio");
    }
    let install = Install::new(4 << 20);
    let uid = install.backup(&["null://256MB", "vm"]);
    let mount = Mount::new(&install, &[]);
    let target = format!("--filename={}", mount.data(&uid).display());
    let seconds = if all() { "--runtime=60" } else { "--runtime=3" };
    let args = [
        "--name=vm",
        &target,
        "--rw=randrw",
        "--rwmixwrite=70",
        "--bs=4k",
        "--ioengine=psync",
        "--direct=1",
        "--thread",
        "--verify_state_save=0",
        "--verify=crc32c",
        "--verify_backlog=500",
        "--verify_fatal=1",
        "--allow_file_create=0",
        "--size=256m",
        "--time_based",
        seconds,
    ];
    let said = crate::common::disk::run("fio", &args).expect("all that was written was read again");
    assert!(said.contains("err= 0"), "{said}");
    mount.unmount();
    install.ok(&["scrub", &uid]);
}

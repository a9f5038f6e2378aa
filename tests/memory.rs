//! Memory use does not grow with the image, and holes cost nothing.

mod common;

use common::all;
use common::checks::ended;
use common::install::{Install, Run, noise};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// The limit with blocks of 4 MiB, 5 reads and 5 writes.
const LIMIT_MIB: u64 = 200;
const MIB: u64 = 1 << 20;

/// An installation with blocks of 4 MiB, 5 reads and 5 writes.
fn install() -> Install {
    let install = Install::without_database(4 << 20);
    install.set("simultaneous_reads", "5");
    install.set("simultaneous_writes", "5");
    let config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let config = config + "\n[io_null]\nsimultaneous_reads: 5\nsimultaneous_writes: 5\n";
    std::fs::write(install.path("backy.cfg"), config).expect("written");
    install.ok(&["initdb"]);
    install
}

/// Runs a command, which must succeed, and returns its peak memory in MiB. The kernel keeps the peak of a process while
/// it runs, so the last value read is close to it.
fn peak_of(install: &Install, args: &[&str]) -> u64 {
    let (run, peak) = watched(install, args);
    assert_eq!(run.code, 0, "{args:?}: {run:?}");
    peak
}

/// Runs a command, and watches its memory as [`peak_of`] does.
fn watched(install: &Install, args: &[&str]) -> (Run, u64) {
    let mut child = install.start(args);
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("asked").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) / 1024);
        std::thread::sleep(Duration::from_millis(5));
    }
    let run = ended(child);
    assert!(peak > 0, "nothing was measured");
    println!("{args:?}: {peak} MiB");
    (run, peak)
}

fn assert_small(install: &Install, args: &[&str]) {
    let peak = peak_of(install, args);
    assert!(peak < LIMIT_MIB, "{args:?} took {peak} MiB");
}

fn gibibytes() -> u64 {
    if all() { 10 } else { 1 }
}

#[test]
fn a_large_backup_to_nowhere_takes_little_memory() {
    let install = install();
    let config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let config = config.replace("type: backy2.data_backends.file", "type: null");
    std::fs::write(install.path("backy.cfg"), config).expect("written");
    let source = format!("null://{}GB", gibibytes());
    assert_small(&install, &["backup", &source, "vm"]);
    assert_eq!(install.blobs().len(), 0);
    assert_eq!(install.count("SELECT blocks_written FROM stats"), gibibytes() as i64 * 256);
}

#[test]
fn a_large_backup_to_a_folder_its_scrub_and_restore_take_little_memory() {
    let install = install();
    let source = format!("null://{}GB", gibibytes());
    assert_small(&install, &["backup", &source, "vm"]);
    assert_eq!(install.blobs().len() as u64, gibibytes() * 256);
    let uid = install.newest("vm").expect("there").0;
    assert_small(&install, &["scrub", &uid]);
    assert_small(&install, &["restore", &uid, "null://"]);
}

#[test]
fn noise_takes_no_more_memory() {
    let install = install();
    // Data that cannot be compressed needs the most buffers.
    std::fs::write(install.path("image"), noise(1, 200 << 20)).expect("written");
    assert_small(&install, &["backup", &install.url("image"), "vm"]);
    let uid = install.newest("vm").expect("there").0;
    assert_small(&install, &["restore", &uid, &install.url("out.img")]);
}

#[test]
fn a_huge_sparse_file_takes_seconds_and_its_holes_are_never_read() {
    const NAME: &str = "a_huge_sparse_file_takes_seconds_and_its_holes_are_never_read";
    let (tebibytes, data_mib) = if all() { (4, 1024) } else { (1, 64) };
    let install = install();
    let file = File::create(install.path("image")).expect("created");
    if let Err(error) = file.set_len(tebibytes << 40) {
        return common::skip(NAME, &format!("no file of {tebibytes} TiB can be made here: {error}"));
    }
    // Pieces of 8 MiB spread over the image, the last one at its end.
    let pieces = data_mib / 8;
    let step = ((tebibytes << 40) - 8 * MIB) / (pieces - 1) / (4 * MIB) * (4 * MIB);
    for n in 0..pieces {
        let at = if n == pieces - 1 { (tebibytes << 40) - 8 * MIB } else { n * step };
        file.write_all_at(&noise(n, 8 << 20), at).expect("written");
    }
    let start = Instant::now();
    assert_small(&install, &["backup", &install.url("image"), "vm"]);
    let took = start.elapsed();
    println!("{tebibytes} TiB with {data_mib} MiB of data: {took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
    let blocks = (data_mib / 4) as i64;
    assert_eq!(install.count("SELECT blocks_read FROM stats"), blocks, "holes were read");
    assert_eq!(install.count("SELECT bytes_read FROM stats"), (data_mib * MIB) as i64);
    assert_eq!(install.count("SELECT blocks_sparse FROM stats"), ((tebibytes << 18) as i64) - blocks);
    assert_eq!(install.blobs().len() as i64, blocks);

    // An incremental backup, with hints that name one changed block.
    let base = install.newest("vm").expect("there").0;
    std::fs::write(install.path("hints"), r#"[{"offset": 0, "length": 4194304, "exists": true}]"#)
        .expect("written");
    let start = Instant::now();
    let hints = install.text("hints");
    assert_small(&install, &["backup", "-r", &hints, "-f", &base, &install.url("image"), "vm"]);
    println!("again, with hints: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());

    // The restored image must be just as sparse.
    let start = Instant::now();
    assert_small(&install, &["restore", "-s", &base, &install.url("out.img")]);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    use std::os::unix::fs::MetadataExt;
    let out = File::open(install.path("out.img")).expect("opened");
    let metadata = out.metadata().expect("looked at");
    assert_eq!(metadata.len(), tebibytes << 40);
    assert!(metadata.blocks() * 512 <= (data_mib + 8) * MIB, "{} sectors", metadata.blocks());
    let mut block = vec![0; 8 << 20];
    for n in 0..pieces - 1 {
        out.read_exact_at(&mut block, n * step).expect("read");
        assert!(block == noise(n, 8 << 20), "piece {n}");
    }
}

/// A store of very many blobs, which are sparse files, and one version that names them all.
fn many_blobs(blobs: u64) -> Install {
    let install = Install::without_database(4096);
    for (key, value) in [("encryption_version", "0"), ("sync", "none")] {
        install.set(key, value);
    }
    install.ok(&["initdb"]);
    let mut database = rusqlite::Connection::open(install.path("backy.sqlite")).expect("opens");
    let work = database.transaction().expect("begun");
    work.execute(
        "INSERT INTO versions VALUES (1, '00000000-0000-1000-8000-000000000001', '2026-01-01 00:00:00', NULL, 'vm', '', ?1,
             ?1 * 4096, 1, 0)",
        [blobs as i64],
    )
    .expect("inserted");
    for id in 1..=blobs as i64 {
        let uid = backy2::types::uid::BlobUid::generate();
        let uid = uid.as_str();
        let blob = "INSERT INTO blobs (id, uid, checksum, size, valid, date) VALUES (?1, ?2, ?3, 4096, 1, '2026-01-01')";
        let checksum = format!("{id:0128x}");
        work.prepare_cached(blob).expect("sql").execute((id, uid, &checksum)).expect("inserted");
        let row = "INSERT INTO block_map VALUES (1, ?1 - 1, ?1)";
        work.prepare_cached(row).expect("sql").execute([id]).expect("inserted");
        let folder = install.path("data").join(&uid[..2]).join(&uid[2..4]);
        std::fs::create_dir_all(&folder).expect("made");
        File::create(folder.join(format!("{uid}.blob"))).and_then(|file| file.set_len(4096)).expect("made");
    }
    work.commit().expect("committed");
    install
}

#[test]
fn a_check_takes_little_memory_however_many_blobs_there_are() {
    let blobs = if all() { 200_000 } else { 3_000 };
    let install = many_blobs(blobs);
    // The blobs have no real checksums, so the function does not seem to fit.
    let started = Instant::now();
    let (run, peak) = watched(&install, &["-ms", "check"]);
    println!("a check of {blobs} blobs: {:.1} s, {peak} MiB", started.elapsed().as_secs_f64());
    assert!(run.stdout.contains(&format!("ok|blobs|{blobs} blobs in the store")), "{run:?}");
    assert!(peak < LIMIT_MIB, "{peak} MiB");
    // Half of the blobs are missing now. They are counted, and not kept in memory.
    std::fs::create_dir(install.path("away")).expect("made");
    for entry in std::fs::read_dir(install.path("data")).expect("listed") {
        let entry = entry.expect("an entry");
        if entry.file_name().as_encoded_bytes() < &b"8"[..] {
            std::fs::rename(entry.path(), install.path("away").join(entry.file_name())).expect("moved");
        }
    }
    let missing = blobs - install.blobs().len() as u64;
    let (run, peak) = watched(&install, &["-ms", "check"]);
    assert!(run.stdout.contains(&format!("{missing} blobs are missing")), "{run:?}");
    assert!(peak < LIMIT_MIB, "{peak} MiB");
}

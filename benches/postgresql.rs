//! Compares the metadata verbs on SQLite and PostgreSQL, with few and with many blobs.
//!
//! `benches/postgresql.sh` starts a server and calls this: `cargo bench --bench postgresql -- URL [MILLIONS]`, with the
//! URL of an empty database. It prints a table of milliseconds, each the shortest time of several runs.

#[path = "support/large.rs"]
#[allow(dead_code)]
mod large;

use backy2::meta::url::DatabaseUrl;
use backy2::meta::{self, Fingerprint, Metadata};
use backy2::monitor::Handle;
use backy2::types::settings::FileMode;
use backy2::types::version::Version;
use large::{Checksums, add_version, checksum, new_version, open_new};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const MILLION: u64 = 1_000_000;
const FEW: u64 = 100_000;
/// Digests per query, as in a backup.
const AT_ONCE: u64 = 64;

/// The shortest time of several runs, in milliseconds.
fn least(runs: usize, mut work: impl FnMut() -> Duration) -> f64 {
    (0..runs).map(|_| work()).min().unwrap_or_default().as_secs_f64() * 1000.0
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

/// Looks up random digests, which are all known or all unknown. Milliseconds per query.
fn look_up(meta: &mut Metadata, blobs: u64, known: bool) -> f64 {
    let mut random = fastrand::Rng::with_seed(3);
    let first = if known { 0 } else { 1 << 40 };
    least(200, || {
        let wanted: Vec<Fingerprint> = (0..AT_ONCE)
            .map(|_| Fingerprint {
                checksum: checksum(first + random.u64(0..blobs)),
                size: u64::from(large::BLOCK),
                enc_version: 1,
            })
            .collect();
        timed(|| {
            let found = meta.find_known(&wanted).expect("looked up");
            assert_eq!(found.iter().filter(|hit| hit.is_some()).count(), if known { 64 } else { 0 });
        })
    })
}

/// Carries all blocks of the version into new versions, and removes those. Returns the milliseconds of both.
fn carry(meta: &mut Metadata, base: &Version) -> (f64, f64) {
    let mut removal = Vec::new();
    let carried = least(3, || {
        let next = meta.begin_version(&new_version("next", base.size)).expect("begun");
        let took = timed(|| {
            assert_eq!(meta.carry(base, &next, &(0..base.size).into()).expect("carried").blocks, base.size);
        });
        removal.push(timed(|| {
            meta.remove_version(&next, 0).expect("removed");
        }));
        took
    });
    (carried, least(3, || removal.pop().unwrap_or(Duration::MAX)))
}

fn measure(name: &str, meta: &mut Metadata, millions: u64) {
    let row =
        |what: &str, blobs: u64, value: f64| println!("{name:<10} {blobs:>9} {what:<22} {value:>9.2} ms");
    add_version(meta, "few", FEW, FEW / 3, Checksums::Different);
    row("64 digests, known", FEW, look_up(meta, FEW, true));
    row("64 digests, unknown", FEW, look_up(meta, FEW, false));
    let mut base = None;
    for n in 0..millions {
        base = Some(add_version(meta, &format!("many{n}"), MILLION, MILLION / 3, Checksums::Different));
    }
    let Some(base) = base else { return };
    let blobs = FEW + millions * MILLION;
    row("64 digests, known", blobs, look_up(meta, MILLION, true));
    row("64 digests, unknown", blobs, look_up(meta, MILLION, false));
    let (carried, removed) = carry(meta, &base);
    row("carry a million blocks", blobs, carried);
    row("remove them", blobs, removed);
}

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some(url) = arguments.first() else {
        eprintln!("usage: postgresql URL [MILLIONS]");
        return ExitCode::from(2);
    };
    let millions = arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let url = DatabaseUrl::parse(url).expect("a URL of PostgreSQL");
    meta::create(&url, FileMode::PRIVATE, Handle::silent()).expect("an empty database");
    let mut server = Metadata::open(&url, Handle::silent()).expect("a server");
    measure("PostgreSQL", &mut server, millions);
    let folder = tempfile::tempdir().expect("a folder");
    measure("SQLite", &mut open_new(&folder.path().join("backy.sqlite")), millions);
    ExitCode::SUCCESS
}

//! Makes a large database for benches/peers, through the verbs that a backup uses.
//!
//! `cargo bench --bench database -- FILE VERSIONS BLOCKS SCATTERED` makes FILE with VERSIONS versions of BLOCKS blocks
//! each. Every block has a blob of its own, which exists only in the database; its checksum is that of zeros, so that
//! the versions look like backups of a sparse file. SCATTERED blocks of each version have their blobs in random order.
//! Prints the uid of the last version.

#[path = "support/large.rs"]
#[allow(dead_code)]
mod large;

use large::{Checksums, add_version, open_new};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let numbers: Vec<u64> = arguments.iter().skip(1).filter_map(|text| text.parse().ok()).collect();
    let ([file, ..], [versions, blocks, scattered]) = (&arguments[..], &numbers[..]) else {
        eprintln!("usage: database FILE VERSIONS BLOCKS SCATTERED");
        return ExitCode::from(2);
    };
    let mut meta = open_new(Path::new(file));
    let mut last = String::new();
    for n in 0..*versions {
        last = add_version(&mut meta, &format!("vm{n}"), *blocks, *scattered, Checksums::OfZeros)
            .uid
            .to_string();
    }
    println!("{last}");
    ExitCode::SUCCESS
}

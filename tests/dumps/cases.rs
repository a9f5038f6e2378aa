//! Dumps: `export` writes what backy2 2.13 wrote, and `import` accepts the dumps of all releases, and nothing else.

mod old;
mod recorded;
mod refused;
mod streams;

use crate::common::install::{Install, Run, noise};
use std::process::Stdio;

/// A recorded export of a fixture.
fn dump_of(fixture: &str, uid: &str) -> String {
    crate::common::fixture::recorded(fixture, &format!("exports/{uid}.csv"))
}

/// The fixture's data and configuration, with an empty database.
fn emptied(fixture: &str) -> Install {
    Install::emptied_fixture(fixture, (fixture == "E").then_some("migrate/backy-2.13.cfg"))
}

/// Imports a dump from a file.
fn import(install: &Install, dump: impl AsRef<[u8]>) -> Run {
    let path = std::env::temp_dir().join(format!("{}.csv", fastrand::u64(..)));
    std::fs::write(&path, dump).expect("written");
    let run = install.run(&["import", path.to_str().expect("utf-8")]);
    std::fs::remove_file(path).expect("removed");
    run
}

/// Imports a dump from stdin.
fn import_stdin(install: &Install, dump: impl AsRef<[u8]>) -> Run {
    let file = tempfile::tempfile().expect("a file");
    use std::io::{Seek, Write};
    (&file).write_all(dump.as_ref()).expect("written");
    (&file).rewind().expect("at its start");
    Run::from(install.command(&["import", "-"]).stdin(Stdio::from(file)).output().expect("runs"))
}

/// An installation with a version of 12 blocks, the uid, the image and the dump.
fn with_a_dump() -> (Install, String, Vec<u8>, String) {
    let install = Install::new(4096);
    let mut image = noise(1, 11 * 4096 + 100);
    image[4096..3 * 4096].fill(0);
    let uid = install.backup(&[&install.image("x.img", &image), "x"]);
    let dump = install.ok(&["-m", "export", &uid, "-"]);
    (install, uid, image, dump)
}

/// The dump with one field of one line (from 1) replaced.
fn with_field(dump: &str, line: usize, field: usize, text: &str) -> String {
    let mut lines: Vec<String> = dump.split("\r\n").map(str::to_owned).collect();
    let mut fields: Vec<&str> = lines[line - 1].split(',').collect();
    fields[field] = text;
    lines[line - 1] = fields.join(",");
    lines.join("\r\n")
}

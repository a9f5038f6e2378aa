//! `sla`: silence if all is well, and the line for a monitoring system.

use crate::common::install::{Install, Run, noise};

const BLOCK: usize = 4096;

fn install() -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let config = install.path("backy.cfg");
    let text = std::fs::read_to_string(&config).expect("read");
    let schedulers =
        "\n[daily]\ninterval: 1d\nkeep: 3\nsla: 6h\n\n[weekly]\ninterval: 7d\nkeep: 2\nsla: 12h\n";
    std::fs::write(&config, text + schedulers).expect("written");
    let image = install.image("x.img", &noise(1, 2 * BLOCK));
    (install, image)
}

fn check(install: &Install, args: &[&str]) -> Run {
    install.run(&[&["sla", "--check", "-s", "daily,weekly"], args].concat())
}

/// The command printed nothing but one line with these words, and ended with that code.
fn told(run: &Run, code: i32, words: &str) {
    assert_eq!((run.code, run.stdout.lines().count()), (code, 1), "{run:?}");
    assert!(run.stdout.starts_with(words), "{words}: {run:?}");
}

#[test]
fn check_is_a_plugin_of_a_monitoring_system() {
    let (install, image) = install();
    told(&check(&install, &[]), 3, "UNKNOWN: There is no version.");
    let wanted = "CRITICAL: vm: daily: Too few backups. Found 0, should be 3. And 1 more breach.\n";
    told(&check(&install, &["vm"]), 2, wanted);
    let uid = install.backup(&["-t", "daily,weekly", &image, "vm"]);
    let run = check(&install, &[]);
    told(&run, 0, "OK: The backups of 1 name match the schedulers (daily, weekly).\n");
    assert_eq!(run.stderr, "");
    assert_eq!(install.ok(&["-ms", "sla", "-s", "daily,weekly"]), "", "a new machine has time");
    install.change("UPDATE versions SET date = '2026-01-01 00:00:00'");
    let run = check(&install, &[]);
    told(
        &run,
        2,
        &format!("CRITICAL: vm: daily: Latest backup is too old. Version {uid} has date 2026-01-01"),
    );
    let json = install.run(&["--json", "sla", "--check", "-s", "daily"]);
    assert!(
        json.code == 2 && json.stdout.starts_with("{\"state\":\"CRITICAL\",\"text\":\"vm: daily: Lat"),
        "{json:?}"
    );
    // A gap cannot be mended, and new backups are made: a warning.
    install.backup(&["-t", "daily,weekly", &image, "vm"]);
    install.backup(&["-t", "daily,weekly", &image, "a|b"]);
    let run = check(&install, &[]);
    told(&run, 1, "WARNING: vm: daily: Version ");
    assert!(run.stdout.contains(" is not in SLA range. ") && run.stdout.contains("And 1 more"), "{run:?}");
    told(&check(&install, &["a|b"]), 0, "OK");
    told(&check(&install, &["a|c"]), 2, "CRITICAL: a\\u{7c}c: daily: ");
}

#[test]
fn errors_of_a_check_are_an_unknown_state() {
    let (install, _) = install();
    told(&check(&install, &["-s", "hourly"]), 3, "UNKNOWN: Unknown scheduler 'hourly'");
    let missing = install.text("no.cfg");
    let program = std::process::Command::new(crate::common::program())
        .args(["-c", &missing, "sla", "--check"])
        .output();
    let run = Run::from(program.expect("runs"));
    told(&run, 3, "UNKNOWN: ");
    assert!(run.stdout.contains("no.cfg") && run.stderr.contains("no.cfg"), "{run:?}");
    install.set_in("MetaBackend", "engine", "sqlite:////nowhere/x.sqlite");
    told(&check(&install, &[]), 3, "UNKNOWN: ");
}

use super::*;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("read")
}

#[test]
fn every_metric_has_one_description() {
    let mut names = std::collections::BTreeSet::new();
    for (at, family) in FAMILIES.iter().enumerate() {
        assert_eq!(family.metric as usize, at, "{family:?}");
        assert!(names.insert(family.name), "{family:?}");
        assert!(family.name.starts_with("backy2_") && family.help.ends_with('.'), "{family:?}");
        assert!(!family.help.contains(['\n', '\\']), "{family:?}");
    }
}

#[test]
fn the_manual_names_every_metric() {
    let manual = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring.md"));
    for Family { name, .. } in &FAMILIES {
        // The end of the name is enough in a list of metrics with the same beginning.
        let ends =
            ["backy2_last_success", "backy2_command"].iter().filter_map(|begin| name.strip_prefix(begin));
        let mut words = std::iter::once(*name).chain(ends);
        assert!(words.any(|word| manual.contains(&format!("`{word}`"))), "docs/monitoring.md lacks {name}");
    }
}

#[test]
fn the_file_has_the_format_of_prometheus() {
    let mut metrics = Metrics::default();
    metrics.set(Metric::Names, "", 2.0);
    metrics.set(Metric::DatabaseRead, "", 1_764_322_634.123_456);
    metrics.set(Metric::Versions, "a\"b\\c\nd", 3.0);
    metrics.set(Metric::Versions, "é", f64::NAN);
    metrics.add(Metric::Runs, "backup", 1.0);
    metrics.add(Metric::Runs, "backup", 1.0);
    metrics.set(Metric::LogicalBytes, "", (1u64 << 52) as f64);
    let text = metrics.text();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
    assert!(lines[0].starts_with("# backy2 metrics."));
    assert_eq!(
        lines[1..],
        [
            "# TYPE backy2_database_read_timestamp_seconds gauge",
            "backy2_database_read_timestamp_seconds 1764322634.123456",
            "# TYPE backy2_names gauge",
            "backy2_names 2",
            "# TYPE backy2_logical_bytes gauge",
            "backy2_logical_bytes 4503599627370496",
            "# TYPE backy2_versions gauge",
            "backy2_versions{name=\"a\\\"b\\\\c\\nd\"} 3",
            "# TYPE backy2_command_runs_total counter",
            "backy2_command_runs_total{command=\"backup\"} 2",
        ]
    );
    assert_eq!(Metrics::parse(&text), Some(metrics));
}

#[test]
fn lines_that_are_not_understood_are_left_out() {
    let text = "# backy2 metrics. Of another release.\n\nbacky2_names 2 1764322634000\nbacky2_names\n\
                backy2_names{name=\"x\"} 4\nbacky2_versions 5\nbacky2_versions{name=\"x} 6\nbacky2_versions{name=\"x\\\n\
                backy2_versions{command=\"x\"} 7\nbacky2_other{name=\"x\"} 8\nbacky2_blobs NaN\nbacky2_bad_blobs +Inf\n\
                backy2_versions{name=\"y\"} 9\n{}\n\"\n";
    let metrics = Metrics::parse(text).expect("ours");
    assert_eq!(metrics.get(Metric::Versions, "y"), Some(9.0));
    assert_eq!(metrics.values.values().map(BTreeMap::len).sum::<usize>(), 1, "{metrics:?}");
    for text in ["", "x", "node_load1 0.5\n", "\n# backy2 metrics."] {
        assert_eq!(Metrics::parse(text), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in ".*", ours: bool) {
        let text = if ours { format!("# backy2 metrics.\nbacky2_versions{{name=\"{text}") } else { text };
        let _ = Metrics::parse(&text);
    }

    #[test]
    fn any_values_come_back(of in "\\PC*|.*", value in -1e300..1e300) {
        let mut metrics = Metrics::default();
        metrics.set(Metric::LastNew, &of, value);
        metrics.set(Metric::Errors, &of, 1.0);
        prop_assert_eq!(Metrics::parse(&metrics.text()), Some(metrics));
    }
}

#[test]
fn the_file_is_updated_and_readable_for_all() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("backy2.prom");
    for n in 1..=3 {
        update(&path, |metrics| metrics.add(Metric::Runs, "rm", 1.0)).expect("written");
        assert!(read(&path).contains(&format!("runs_total{{command=\"rm\"}} {n}\n")));
    }
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o644);
    // Somebody has made an empty file, or a power cut has left one.
    fs::write(&path, "").expect("written");
    update(&path, |metrics| metrics.add(Metric::Runs, "rm", 1.0)).expect("written");
    assert!(read(&path).contains("runs_total{command=\"rm\"} 1\n"));
}

#[test]
fn other_files_and_links_are_never_replaced() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    fs::write(path("foreign"), "node_load1 0.5\n").expect("written");
    fs::write(path("binary"), [0xff, 0xfe]).expect("written");
    symlink(path("foreign"), path("link")).expect("linked");
    symlink(path("nothing"), path("dangling")).expect("linked");
    fs::create_dir(path("folder")).expect("made");
    for (name, words) in [
        ("foreign", "was not written by backy2"),
        ("binary", "was not written by backy2"),
        ("link", "it is a link"),
        ("dangling", "it is a link"),
        ("folder", "not a regular file"),
        ("missing/file", "No such file"),
        ("..", "not the path of a file"),
    ] {
        let mut is_changed = false;
        let error = update(&path(name), |_| is_changed = true).expect_err("refused").line();
        assert!(error.contains(words) && error.contains(name) && !is_changed, "{name}: {error}");
    }
    assert_eq!(read(&path("foreign")), "node_load1 0.5\n");
    assert!(path("link").is_symlink() && !path("nothing").exists());
}

#[test]
fn a_lock_that_is_held_is_waited_for_and_given_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("m");
    update(&path, |_| ()).expect("written");
    let lock = fs::File::open(dir.path().join(".m.lock")).expect("the lock file");
    lock.lock_shared().expect("locked");
    let start = std::time::Instant::now();
    let error = update(&path, |_| ()).expect_err("held").line();
    assert!(error.contains("has held its lock for 2 s"), "{error}");
    assert!(start.elapsed() >= std::time::Duration::from_secs(2));
    drop(lock);
    update(&path, |_| ()).expect("written");
}

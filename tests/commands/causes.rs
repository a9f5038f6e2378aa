//! Errors show their causes: on one line, and with `-d` on a line each, down to the error of the system.

use crate::common::install::{Install, noise};

const BLOCK: usize = 4096;

fn installed() -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let source = install.image("a.img", &noise(1, 8 * BLOCK));
    (install, source)
}

/// Lets a backup fail with `code`, with `-d` and without. Both must tell `causes`, from the error's own text down to what
/// the system says, each text once; and `advice`, on the error's line.
fn fails_by(install: &Install, code: i32, source: &str, causes: &[&str], advice: &str) {
    let said = install.fails(code, &["backup", source, "a"]);
    let line = said.lines().find(|line| line.contains("ERROR: ")).expect("an error");
    let places: Vec<_> = causes.iter().map(|cause| line.find(cause)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{causes:?}: {line}");
    assert!(line.contains(advice), "{line}");
    for cause in causes {
        assert_eq!(line.matches(cause).count(), 1, "{cause}: {line}");
    }

    let said = install.fails(code, &["-d", "backup", source, "a"]);
    let chain: Vec<&str> = said
        .lines()
        .skip_while(|line| !line.contains("ERROR: "))
        .enumerate()
        .take_while(|(at, line)| *at == 0 || line.starts_with("  caused by: "))
        .map(|(at, line)| line.trim_start_matches(if at == 0 { "   ERROR: " } else { "  caused by: " }))
        .collect();
    assert_eq!(chain.len(), causes.len(), "{said}");
    assert!(chain[0].contains(advice), "{said}");
    for (told, cause) in chain.iter().zip(causes) {
        assert!(told.contains(cause), "{cause}: {said}");
        assert_eq!(
            chain.iter().filter(|other| other.contains(told)).count(),
            1,
            "told twice: {told}: {said}"
        );
    }
}

#[test]
fn each_cause_of_a_store_that_is_gone_is_shown_once() {
    let (install, source) = installed();
    std::fs::remove_dir(install.path("data")).expect("an empty folder");
    fails_by(&install, 6, &source, &["cannot be reached", "No such file or directory"], "Is it mounted?");
}

#[test]
fn each_cause_of_a_store_that_is_read_only_is_shown_once() {
    let (install, source) = installed();
    // Not even root.
    install.set("path", "/sys/kernel");
    fails_by(&install, 6, &source, &["cannot be written to", "Permission denied"], "[DataBackend]");
}

#[test]
fn each_cause_of_a_bucket_out_of_reach_is_shown_once() {
    let (install, source) = installed();
    let s3 = "type: s3\nendpoint_url: http://127.0.0.1:1\nbucket_name: b\naws_access_key_id: k\n\
              aws_secret_access_key: s\nretry_time: 0\n";
    let text = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let text = text.replace("type: backy2.data_backends.file\n", s3);
    let text = text.replace(&format!("path: {}\n", install.path("data").display()), "");
    std::fs::write(install.path("backy.cfg"), text).expect("written");
    fails_by(&install, 6, &source, &["data store", "Connection refused"], "endpoint_url");
}

#[test]
fn each_cause_of_a_database_that_does_not_open_is_shown_once() {
    let (install, source) = installed();
    install.set("engine", &format!("sqlite:///{}/below", install.path("a.img").display()));
    fails_by(&install, 1, &source, &["Invalid database", "Not a directory"], "");
    install.set("engine", "postgresql://nobody@127.0.0.1:1/none");
    let causes = ["Cannot use the database", "error connecting to server", "Connection refused"];
    fails_by(&install, 1, &source, &causes, "whether the server runs");
}

#[test]
fn each_cause_of_a_missing_source_and_lock_dir_is_shown_once() {
    let (install, _) = installed();
    let missing = install.url("missing");
    fails_by(&install, 100, &missing, &["the source cannot be opened", "No such file or directory"], "");
    install.set("lock_dir", &install.path("a.img/locks").display().to_string());
    fails_by(&install, 100, &missing, &["cannot use lock_dir", "Not a directory"], "");
}

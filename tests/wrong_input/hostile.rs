//! Names that would forge log lines, move the cursor or change the direction of writing.

use crate::common::install::{Install, noise};

/// A log line, escape sequences of both kinds, and a character that changes the direction of writing.
const NAME: &str = "vm\n2030-01-01 00:00:00,000 [1] Backy complete.\r\u{1b}[2J\u{9b}1A\u{202e}gpj|x";

fn is_unruly(c: char) -> bool {
    (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c)
}

#[test]
fn no_name_forges_a_line_of_the_log_or_moves_the_cursor() {
    let install = Install::new(4096);
    let source = install.image("a.img", &noise(1, 8192));
    install.ok(&["backup", &source, NAME]);
    let uid = install.uids(&[]).remove(0);
    let mut all = String::new();
    for args in [
        &["ls"][..],
        &["-m", "ls"],
        &["du"],
        &["stats"],
        &["restore", NAME, &format!("file://{}", install.text("no/such\nfolder\u{1b}[2J"))],
        &["restore", &uid, &install.url("a.img")],
        &["rm", "nosuch\n   ERROR: x\u{1b}[2J"],
        &["rm", "vm"],
        &["add-tag", &uid, "t\n\u{1b}[2J|"],
        &["ls", "--\u{1b}[2J"],
        &["\u{1b}[2J\n   ERROR: x"],
        &["-c", "no\u{1b}[2J\nsuch", "ls"],
        &["scrub", "-s", "file:///no\u{1b}[2J\nsuch", &uid],
    ] {
        let run = install.run(args);
        for text in [run.stdout, run.stderr] {
            assert!(!text.contains(is_unruly), "{args:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("   ERROR: x")), "{args:?}: {text:?}");
            all += &text;
        }
    }
    assert!(all.contains("Similar are:") && all.contains("\\n2030-01-01"), "the names are shown: {all}");
    let log = std::fs::read_to_string(install.path("backy.log")).expect("a log");
    assert!(!log.contains(is_unruly) && !log.lines().any(|line| line.starts_with("2030")), "{log}");

    // Scripts split rows at `|`, so it is escaped; JSON has the original name.
    let out = install.ok(&["-ms", "ls", "-f", "uid,name,tags"]);
    assert_eq!(out.lines().map(|line| line.split('|').count()).collect::<Vec<_>>(), [3], "{out}");
    let json: serde_json::Value = serde_json::from_str(&install.ok(&["--json", "ls"])).expect("json");
    assert_eq!(json["versions"][0]["name"], NAME);
}

//! Dumps of older releases and other systems, and dumps with strange names.

use super::{dump_of, emptied, import, import_stdin, with_a_dump, with_field};
use crate::common::database::quoted;
use crate::common::fixture::versions;
use crate::common::images;

/// The dump with fewer columns: `version` are the columns to keep of the version's line, `blocks` is the number of
/// columns to keep of the blocks' lines.
fn cut(dump: &str, release: &str, version: &[usize], blocks: usize) -> String {
    let mut lines = dump.split("\r\n");
    lines.next().expect("a signature");
    let mut out = format!("backy2 Version {release} metadata dump\r\n");
    let first: Vec<&str> = lines.next().expect("a version").split(',').collect();
    let first: Vec<&str> = version.iter().map(|&column| first[column]).collect();
    out += &(first.join(",") + "\r\n");
    for line in lines.filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split(',').take(blocks).collect();
        out += &(fields.join(",") + "\r\n");
    }
    out
}

#[test]
fn dumps_of_every_release_can_be_imported() {
    let recorded = versions("B").into_iter().filter(|version| version.number("size") > 0);
    for version in recorded {
        let dump = dump_of("B", &version.uid);
        let expire = version.text("expire").chars().take(10).collect::<String>();
        let snapshot = version.text("snapshot_name");
        for (release, columns, has_snapshot, has_expire) in [
            ("2.1", &[0, 1, 2, 4, 5, 6][..], false, false),
            ("2.2", &[0, 1, 2, 3, 4, 5, 6, 7], true, false),
            ("2.10", &[0, 1, 2, 3, 4, 5, 6, 7, 8], true, true),
        ] {
            let install = emptied("B");
            let run = import(&install, cut(&dump, release, columns, 7));
            assert_eq!(run.code, 0, "{release}: {run:?}");
            let wanted = format!(
                "{}|{}|{}|{}|1|{}|{}\n",
                version.name,
                if has_snapshot { &snapshot } else { "" },
                version.number("size"),
                version.number("size_bytes"),
                if release == "2.1" { 0 } else { version.number("protected") },
                if has_expire && !expire.is_empty() { expire.clone() + " 00:00:00" } else { String::new() },
            );
            let fields = "name,snapshot_name,size,size_bytes,valid,protected,expire";
            assert_eq!(install.ok(&["-ms", "ls", "-f", fields]), wanted, "{release}");
            if version.image.is_some() {
                let data = install.restored(&version.uid, "out");
                assert_eq!(Some(images::sha256(&data)), version.sha256, "{release}");
            }
            assert_eq!(install.count("SELECT count(*) FROM blobs WHERE enc_version <> 0"), 0);
        }
    }
}

#[test]
fn a_trailing_blank_line_line_feeds_and_a_missing_last_line_end_are_fine() {
    let (install, uid, image, dump) = with_a_dump();
    let lines = dump.replace("\r\n", "\n");
    for text in [
        dump.clone() + "\n",
        dump.clone() + "\r\n",
        lines.clone(),
        lines.clone() + "\n",
        lines.trim_end().to_owned(),
        dump.trim_end().to_owned(),
    ] {
        install.ok(&["rm", "-f", &uid]);
        let run = import_stdin(&install, &text);
        assert_eq!(run.code, 0, "{run:?}");
        install.ok(&["scrub", &uid]);
        assert!(install.restored(&uid, "out.img") == image);
        assert_eq!(install.ok(&["-m", "export", &uid, "-"]), dump);
    }
}

#[test]
fn a_backslash_x_for_a_nonce_is_none() {
    let install = super::Install::new(4096);
    install.set("encryption_version", "0");
    let image = super::noise(4, 3 * 4096);
    let uid = install.backup(&[&install.image("x.img", &image), "x"]);
    let dump = install.ok(&["-m", "export", &uid, "-"]);
    install.ok(&["rm", "-f", &uid]);
    let with_x: String = dump
        .lines()
        .enumerate()
        .map(|(at, line)| if at < 2 { format!("{line}\r\n") } else { format!("{line}\\x\r\n") })
        .collect();
    assert_eq!(with_x.matches(r"\x").count(), 3);
    assert_eq!(import(&install, with_x).code, 0);
    assert_eq!(install.count("SELECT count(*) FROM blobs WHERE enc_nonce IS NOT NULL"), 0);
    assert_eq!(install.ok(&["-m", "export", &uid, "-"]), dump);
    assert!(install.restored(&uid, "out.img") == image);
}

#[test]
fn names_with_commas_quotes_line_breaks_and_letters_of_any_kind_come_back() {
    let names =
        ["a,b", "say \"hi\"", "two\nlines", "cr\rlf\r\n", "nämé 日本 🦀", " blank ", "\"", "a|b", "-"];
    let (install, uid, ..) = with_a_dump();
    for name in names {
        let text = quoted(name);
        install.change(&format!("UPDATE versions SET name = {text}, snapshot_name = {text}"));
        let renamed = install.ok(&["-m", "export", &uid, "-"]);
        install.ok(&["rm", "-f", &uid]);
        let run = import_stdin(&install, &renamed);
        assert_eq!(run.code, 0, "{name:?}: {run:?}");
        let found = install.table("SELECT name, snapshot_name FROM versions");
        assert_eq!(found, [[Some(name.to_owned()), Some(name.to_owned())]]);
        assert_eq!(install.ok(&["-m", "export", &uid, "-"]), renamed, "{name:?}");
    }
    // Fields are quoted only where necessary.
    install.change("UPDATE versions SET name = 'a,\"b\"', snapshot_name = 'c d'");
    let line = install.ok(&["-m", "export", &uid, "-"]).lines().nth(1).expect("a line").to_owned();
    assert!(line.contains(",\"a,\"\"b\"\"\",c d,12,"), "{line}");
}

#[test]
fn an_invalid_version_may_be_short_and_stays_invalid() {
    let (install, uid, image, dump) = with_a_dump();
    install.ok(&["rm", "-f", &uid]);
    let short: Vec<&str> = dump.split("\r\n").take(8).collect();
    let short = with_field(&(short.join("\r\n") + "\r\n"), 2, 6, "0");
    assert_eq!(import(&install, &short).code, 0);
    assert!(!install.is_valid(&uid));
    assert_eq!(install.rows(&uid), 6);
    // The version can be continued.
    assert_eq!(install.backup(&["-c", &uid, &install.url("x.img"), "x"]), uid);
    assert!(install.restored(&uid, "out.img") == image);
}

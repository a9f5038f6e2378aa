//! All or nothing: a file that is not a correct dump to its last line leaves nothing behind.

use super::{Install, import, import_stdin, with_a_dump, with_field};

/// A description of a bad dump, its text, the line that the error must name, and a word of the reason.
type Bad<'w> = (&'w str, Vec<u8>, usize, &'w str);

/// An import from a file or stdin ends with exit code 23, names the line and the reason, and changes nothing.
fn refused(install: &Install, (what, dump, line, word): &Bad<'_>) {
    let before = install.state();
    for run in [import(install, dump), import_stdin(install, dump)] {
        let stderr: String = run.stderr.chars().take(500).collect();
        assert_eq!(run.code, 23, "{what}: {stderr}");
        assert!(stderr.contains(&format!("line {line}")), "{what} must name line {line}: {stderr}");
        assert!(stderr.contains(word), "{what} must say {word:?}: {stderr}");
        assert!(stderr.contains("Nothing was imported"), "{what}: {stderr}");
        assert!(run.stderr.len() < 2000, "{what}: {} bytes of error", run.stderr.len());
    }
    assert!(install.state() == before, "{what} has changed something");
}

/// Tests both kinds of line ends; the line number must be the same.
fn refused_either_way(install: &Install, bad: Bad<'_>) {
    let text = String::from_utf8(bad.1.clone()).expect("text");
    refused(install, &(bad.0, text.replace("\r\n", "\n").into_bytes(), bad.2, bad.3));
    refused(install, &bad);
}

fn lines(dump: &str) -> Vec<&str> {
    dump.split_inclusive("\r\n").collect()
}

fn removed() -> (Install, String) {
    let (install, uid, _, dump) = with_a_dump();
    install.ok(&["rm", "-f", &uid]);
    (install, dump)
}

#[test]
fn bad_fields_in_the_middle_are_refused() {
    let (install, dump) = removed();
    let other = "da3b9c6a-e505-11f1-90ca-02fc00000001";
    // Block 5 is in line 8.
    for (field, text, word) in [
        (0, "../../etc/passwd", "not the name of a blob"),
        (0, "0123456789012345678901234567890123456789", "not the name of a blob"),
        (1, other, "belongs to version"),
        (1, "", "belongs to version"),
        (2, "12", "beyond the end"),
        (2, "99999999999999999999999", "not a number"),
        (2, "-1", "not a number"),
        (2, "five", "not a number"),
        (2, "4", "twice"),
        (3, "yesterday", "no date"),
        (3, "", "no date"),
        (4, "xyz", "checksum"),
        (4, "abc", "checksum"),
        (5, "", "not a number"),
        (5, "1.5", "not a number"),
        (5, "0", "size"),
        (6, "2", "not 0 or 1"),
        (6, "", "not 0 or 1"),
        (7, "x", "not a number"),
        (7, "7", "encryption version"),
        (8, "0g", "enc_envkey"),
        (9, "q", "enc_nonce"),
    ] {
        let bad = with_field(&dump, 8, field, text).into_bytes();
        refused_either_way(&install, ("a field", bad, 8, word));
    }
}

#[test]
fn a_bad_line_of_the_version_is_refused() {
    let (install, dump) = removed();
    for (field, text, word) in [
        (0, "", "not the uid"),
        (0, "../x", "not the uid"),
        (0, "0123456789012345678901234567890123456789", "not the uid"),
        (1, "x", "no date"),
        (4, "x", "size is"),
        (4, "99999999999999999999", "size is"),
        (5, "-1", "size_bytes is"),
        (6, "yes", "valid is"),
        (7, "", "protected is"),
        (8, "never", "no date"),
    ] {
        refused_either_way(
            &install,
            ("the version", with_field(&dump, 2, field, text).into_bytes(), 2, word),
        );
    }
}

#[test]
fn wrong_numbers_of_fields_and_of_lines_are_refused() {
    let (install, dump) = removed();
    let all = lines(&dump);
    let at = |line: usize, text: &str| {
        let mut changed = all.clone();
        changed[line - 1] = text;
        changed.concat().into_bytes()
    };
    let less = all[7].rsplit_once(',').expect("fields").0.to_owned() + "\r\n";
    let more = all[7].trim_end().to_owned() + ",\r\n";
    refused_either_way(&install, ("a field less", at(8, &less), 8, "9 fields, should have 10"));
    refused_either_way(&install, ("a field more", at(8, &more), 8, "11 fields, should have 10"));
    refused_either_way(&install, ("three fields", at(14, "a,b,c\r\n"), 14, "3 fields"));
    refused_either_way(&install, ("the version's line", at(2, "a,b,c\r\n"), 2, "3 fields, should have 9"));
    refused_either_way(&install, ("a line in two", at(8, &all[7].replacen(',', "\r\n", 1)), 8, "1 fields"));
    let shorter = all[..all.len() - 1].concat().into_bytes();
    refused_either_way(&install, ("a block less", shorter, 14, "ends after 11 blocks"));
    let longer = dump.clone() + all[13];
    refused_either_way(&install, ("the last block twice", longer.into_bytes(), 15, "block 11 occurs twice"));
    refused_either_way(&install, ("no block", all[..2].concat().into_bytes(), 3, "ends after 0 blocks"));
    refused_either_way(&install, ("no version", all[0].into(), 2, "missing"));
    let size = with_field(&dump, 8, 5, "4095").into_bytes();
    refused_either_way(&install, ("other bytes", size, 15, "with 45155 bytes"));
    let short = with_field(&with_field(&dump, 2, 6, "0"), 2, 4, "11");
    refused_either_way(&install, ("too many blocks for its size", short.into_bytes(), 14, "beyond the end"));
}

#[test]
fn files_that_are_no_dumps_are_refused() {
    let (install, dump) = removed();
    let signature = |text: &str| dump.replacen("2.12", text, 1).into_bytes();
    for (what, bad) in [
        ("an empty file", Vec::new()),
        ("a blank line first", [b"\r\n", dump.as_bytes()].concat()),
        ("release 9.9", signature("9.9")),
        ("release 2.3", signature("2.3")),
        ("release 2.120", signature("2.120")),
        ("zeros", vec![0; 1 << 20]),
        ("noise", super::noise(3, 1 << 20)),
        ("no line end", vec![b'x'; 64 << 20]),
    ] {
        refused(&install, &(what, bad, 1, "Wrong import format"));
    }
}

#[test]
fn bytes_that_no_dump_has_are_refused() {
    let (install, dump) = removed();
    let all = lines(&dump);
    let with = |line: usize, text: &[u8]| {
        let mut bytes = all[..line - 1].concat().into_bytes();
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(all[line..].concat().as_bytes());
        bytes
    };
    let name = |name: &[u8]| {
        let fields: Vec<&[u8]> = all[1].as_bytes().split(|b| *b == b',').collect();
        let mut fields = fields.clone();
        fields[2] = name;
        fields.join(&b','.to_owned())
    };
    refused(&install, &("NUL in a name", with(2, &name(b"a\0b")), 2, "NUL"));
    refused(&install, &("not UTF-8 in a name", with(2, &name(b"\xff\xfe")), 2, "UTF-8"));
    refused(&install, &("a line of NULs", with(8, &[0; 5000]), 8, "NUL"));
    refused(&install, &("NUL in a block", with(8, &all[7].replace(",1,", ",\0,").into_bytes()), 8, "NUL"));
    refused(&install, &("a huge line", with(8, &vec![b'a'; 100 << 20]), 8, "more than 1048576 bytes"));
    let open = [b"\"".as_slice(), &vec![b'\n'; 5 << 20]].concat();
    refused(&install, &("a quote that is not closed", with(8, &open), 8, "quote"));
}

#[test]
fn a_blob_that_is_being_deleted_is_not_brought_back() {
    let (install, dump) = removed();
    let uid = lines(&dump)[7].split(',').next().expect("a uid");
    install.change(&format!("UPDATE deleted_blocks SET delete_candidate = 1 WHERE uid = '{uid}'"));
    assert_eq!(install.count("SELECT count(*) FROM deleted_blocks WHERE delete_candidate = 1"), 1);
    refused(&install, &("a doomed blob", dump.clone().into_bytes(), 8, uid));
    install.ok(&["cleanup", "--dangerous-force"]);
    assert_eq!(install.blobs().len(), 0, "the cleanup goes on as ever");
}

#[test]
fn a_version_that_exists_is_not_touched() {
    let (install, uid, _, dump) = with_a_dump();
    let before = install.state();
    for changed in [dump.clone(), with_field(&dump, 2, 2, "other")] {
        let run = import(&install, &changed);
        assert_eq!(run.code, 22, "{run:?}");
        assert!(run.stderr.contains(&uid) && run.stderr.contains("exists"), "{run:?}");
    }
    assert!(install.state() == before);
}

#[test]
fn a_file_that_cannot_be_read_is_no_bad_dump() {
    let (install, _) = removed();
    for path in ["nosuch.csv", "data"] {
        install.refuses(100, &["import", &install.text(path)], &[path]);
    }
}

/// A blob is bad if the dump or the database says so.
#[test]
fn a_blob_that_the_dump_or_the_database_calls_bad_is_bad_for_all_versions() {
    let (install, first, _, dump) = with_a_dump();
    let second = install.backup(&[&install.url("x.img"), "x"]);
    assert_eq!(install.blob_uid(&first, 5), install.blob_uid(&second, 5));
    install.ok(&["rm", "-f", &first]);
    let bad = with_field(&with_field(&dump, 8, 6, "0"), 2, 6, "0");
    assert_eq!(import(&install, &bad).code, 0);
    assert_eq!((install.invalid_blocks(&first), install.invalid_blocks(&second)), (vec![5], vec![5]));
    assert!(!install.is_valid(&first) && !install.is_valid(&second));
    install.ok(&["rm", "-f", &first]);
    assert_eq!(import(&install, &dump).code, 0);
    assert!(!install.is_valid(&first), "the database knows better than the dump");
    install.ok(&["scrub", &first]);
    assert!(install.is_valid(&first) && install.invalid_blocks(&second).is_empty());
}

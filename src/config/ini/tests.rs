//! Tests how INI files are read. Every case was compared with Python's `configparser`.

use super::*;
use proptest::prelude::*;

/// The purpose of the case, the file, and the expected sections, keys and values.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str)]);

const GOOD: &[Case] = &[
    ("an empty file", "", &[]),
    ("comments and an empty section", "# c\n; c\n\n[s]\n", &[]),
    (
        "both delimiters",
        "[s]\na: 1\nb = 2\nc=3\nd:4\ne :5\n",
        &[("s", "a", "1"), ("s", "b", "2"), ("s", "c", "3"), ("s", "d", "4"), ("s", "e", "5")],
    ),
    (
        "the first delimiter counts",
        "[s]\na: b = c\nd = e : f\ng:= h\n",
        &[("s", "a", "b = c"), ("s", "d", "e : f"), ("s", "g", "= h")],
    ),
    ("empty values", "[s]\na:\nb =\n", &[("s", "a", ""), ("s", "b", "")]),
    (
        "names in lower case, values not",
        "[s]\nKey Name: V\nÄÉ: x\n",
        &[("s", "key name", "V"), ("s", "äé", "x")],
    ),
    ("sections are case-sensitive", "[S]\na: 1\n[s]\na: 2\n", &[("S", "a", "1"), ("s", "a", "2")]),
    (
        "value cannot be followed by a comment",
        "[s]\na: x # no comment\nb: y ; no comment\nc: #z\n",
        &[("s", "a", "x # no comment"), ("s", "b", "y ; no comment"), ("s", "c", "#z")],
    ),
    ("comments inside of a value", "[s]\na: x\n  # comment\n; comment\n  y\n", &[("s", "a", "x\ny")]),
    ("continued lines", "[s]\na: x\n y\n\tz\n", &[("s", "a", "x\ny\nz")]),
    (
        "blank lines belong to a value, unless they end it",
        "[s]\na: x\n\n  y\n\n\nb: z\n",
        &[("s", "a", "x\n\ny"), ("s", "b", "z")],
    ),
    ("a value that begins on the next line", "[s]\na:\n  x\n  y\n", &[("s", "a", "\nx\ny")]),
    (
        "indentation is relative to the last option",
        "[s]\n  a: x\n  b: y\n c: z\n   d: w\n",
        &[("s", "a", "x"), ("s", "b", "y"), ("s", "c", "z\nd: w")],
    ),
    ("a section ends a value", "[s]\n  a: x\n[t]\n  b: y\n", &[("s", "a", "x"), ("t", "b", "y")]),
    ("an indented header continues a value", "[s]\na: x\n  [t]\n  b: y\n", &[("s", "a", "x\n[t]\nb: y")]),
    ("an indented header", "  [s]\n  a: x\n", &[("s", "a", "x")]),
    ("an indented option continues a value", "[s]\n  a: x\n    b: y\n", &[("s", "a", "x\nb: y")]),
    (
        "odd headers",
        "[ s ]\na: 1\n[x]y]\na: 2\n[t] rest\na: 3\n[]]\na: 4\n",
        &[(" s ", "a", "1"), ("x]y", "a", "2"), ("t", "a", "3"), ("]", "a", "4")],
    ),
    ("headers that are none", "[s]\n[a: 1\n[]: 2\n", &[("s", "[a", "1"), ("s", "[]", "2")]),
    ("line ends of Windows", "[s]\r\na: x\r\n  y\r\n\r\nb: z\r\n", &[("s", "a", "x\ny"), ("s", "b", "z")]),
    ("line ends of old systems, none at the end", "[s]\ra: x\rb: y", &[("s", "a", "x"), ("s", "b", "y")]),
    ("a byte order mark", "\u{feff}[s]\na: x\n", &[("s", "a", "x")]),
    (
        "white space of Unicode",
        "[s]\na: \u{a0}x\u{2003}\x1c\nb\u{a0}: y\u{2028}z\n",
        &[("s", "a", "x"), ("s", "b", "y\u{2028}z")],
    ),
    (
        "the inherited section may be continued",
        "[DEFAULT]\na: 1\n[s]\nb: 2\n[DEFAULT]\nc: 3\n",
        &[("DEFAULT", "a", "1"), ("DEFAULT", "c", "3"), ("s", "b", "2")],
    ),
    (
        "percent signs are expanded later",
        "[s]\na: 100%%\nb: %(a)s\nc: 5%\n",
        &[("s", "a", "100%%"), ("s", "b", "%(a)s"), ("s", "c", "5%")],
    ),
    (
        "no quotes, no escapes",
        "[s]\na: \"quoted\"\nb: 'x'\nc: \\n\n",
        &[("s", "a", "\"quoted\""), ("s", "b", "'x'"), ("s", "c", "\\n")],
    ),
];

fn read(text: &str) -> Result<Raw> {
    parse(text, &"f".into())
}

#[test]
fn files_are_read_as_configparser_reads_them() {
    for (shows, text, expected) in GOOD {
        let raw = read(text).expect(shows);
        let keys: Vec<_> = raw
            .sections
            .iter()
            .flat_map(|s| s.keys.iter().map(|(k, v)| (s.name.as_str(), k.as_str(), v.text.as_str())))
            .collect();
        assert_eq!(keys, *expected, "{shows}");
    }
}

#[test]
fn broken_files_are_refused_with_file_line_and_section() {
    for (text, message) in [
        ("a: 1\n[s]\n", "f:1: this line stands before the first [section]."),
        ("é\n", "f:1: this line stands before the first [section]."),
        ("\n  x\n", "f:2: this line stands before the first [section]."),
        ("[s\na: 1\n", "f:1: this line stands before the first [section]."),
        ("[s]\na\n", "f:2: [s] this line is neither `key: value` nor a section nor a comment"),
        ("[s]\na: 1\nb\n", "f:3: [s] this line is neither"),
        ("[s]\r\na: 1\r\n\r\nb c\r\n", "f:4: [s] this line is neither"),
        ("[s]\n[]\n", "f:2: [s] this line is neither"),
        ("[s]\n# c\n  x\n", "f:3: [s] this line is neither"),
        ("[s]\n: x\n", "f:2: [s] there is no key before the delimiter."),
        ("[s]\n  = x\n", "f:2: [s] there is no key before the delimiter."),
        ("[s]\na: 1\na: 2\n", "f:3: [s] a is there already, in line 2: remove one."),
        ("[s]\na: 1\n\nA = 2\n", "f:4: [s] a is there already, in line 2: remove one."),
        ("[DEFAULT]\na: 1\n[DEFAULT]\na: 2\n", "f:4: [DEFAULT] a is there already, in line 2"),
        ("[s]\n[t]\n[s]\n", "f:3: section [s] is there already, in line 1: join them."),
    ] {
        let error = read(text).expect_err(text).to_string();
        assert!(error.starts_with(message), "{text:?} gave {error}");
    }
}

#[test]
fn lines_are_never_quoted() {
    for text in ["decafbad", "[s]\nencryption_key: x\ndecafbad", "[s]\n= decafbad", "[s]\na: 1\na: decafbad"]
    {
        let error = read(text).expect_err(text).to_string();
        assert!(!error.contains("decafbad"), "{error}");
    }
}

#[test]
fn each_key_knows_its_line() {
    let raw = read("# c\n[s]\na: 1\n  2\n\nb: 3\n\n[t]\nc: 4").expect("good");
    let lines: Vec<_> = raw.sections.iter().flat_map(|s| &s.keys).map(|(_, v)| v.place.line).collect();
    assert_eq!(lines, [3, 6, 9]);
    assert_eq!(raw.section("t").map(|s| s.place.line), Some(8));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in r"([\[\]=:#; \t\r\na-c%()é]|\PC){0,60}") {
        let _ = read(&text);
    }

    #[test]
    fn plain_settings_are_read_back(
        entries in proptest::collection::btree_map("[a-z_]{1,8}", r"([!-~]|[!-~][ -~]{0,8}[!-~])?", 0..8)
    ) {
        let mut text = String::from("[s]\n");
        for (key, value) in &entries {
            text += &format!("{key}: {value}\n");
        }
        let raw = read(&text).expect("well-formed");
        let section = raw.section("s").expect("there");
        prop_assert_eq!(section.keys.len(), entries.len());
        for (key, value) in &entries {
            prop_assert_eq!(section.get(key).map(|value| value.text.as_str()), Some(value.as_str()));
        }
    }
}

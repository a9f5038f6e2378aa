//! Checks the documentation: docs/format.md against the schemas of the databases, and the language of all texts.

mod common;

use common::rust_source::{files_below, strings};
use std::path::Path;

/// The files that define the tables of a database.
const SCHEMAS: [&str; 11] = [
    "src/meta/sqlite/schema.sql",
    "src/meta/sqlite/rbd.sql",
    "src/meta/sqlite/claims.sql",
    "src/meta/sqlite/stores.sql",
    "src/meta/sqlite/copies.sql",
    "src/meta/sqlite/verifications.sql",
    "src/meta/postgres/schema.sql",
    "src/meta/postgres/later.sql",
    "src/meta/postgres/stores.sql",
    "src/meta/postgres/copies.sql",
    "src/meta/postgres/verifications.sql",
];

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file)
}

/// A table of a schema file.
struct Table {
    name: String,
    columns: Vec<String>,
}

/// The tables that `sql` creates. It has one column per line.
fn tables(sql: &str) -> Vec<Table> {
    let bodies = sql.split("\nCREATE TABLE ").skip(1);
    bodies
        .map(|text| {
            let (head, rest) = text.split_once("(\n").expect("a list of columns");
            let name = head.trim().trim_start_matches("IF NOT EXISTS ").to_owned();
            let lines = rest.lines().take_while(|line| !line.starts_with(')'));
            let words = lines.filter_map(|line| line.split_whitespace().next());
            let columns = words.filter(|word| *word != "PRIMARY").map(str::to_owned).collect();
            Table { name, columns }
        })
        .collect()
}

/// The names of the indexes, triggers, views and functions that `sql` creates.
fn other_objects(sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in sql.lines().filter_map(|line| line.strip_prefix("CREATE ")) {
        let line = line.trim_start_matches("UNIQUE ");
        for kind in ["INDEX ", "TRIGGER ", "VIEW ", "FUNCTION "] {
            let name = line.strip_prefix(kind).and_then(|rest| rest.split([' ', '(']).next());
            found.extend(name.map(str::to_owned));
        }
    }
    found
}

/// The text of a table, from its heading to the next one.
fn section<'t>(document: &'t str, table: &str) -> Option<&'t str> {
    let sections = document.split("\n### ").skip(1);
    sections.into_iter().find(|text| text.split_whitespace().next() == Some(table))
}

#[test]
fn the_format_names_every_table_and_column() {
    let document = read("docs/format.md");
    let mut tables_found = 0;
    for file in SCHEMAS {
        let sql = format!("\n{}", read(file));
        for Table { name, columns } in tables(&sql) {
            tables_found += 1;
            assert!(!columns.is_empty(), "{file}: {name} has no columns");
            let text = section(&document, &name);
            let text = text.unwrap_or_else(|| panic!("docs/format.md has no heading for {name} of {file}"));
            let also =
                if name == "lock_holders" { section(&document, "claims").unwrap_or_default() } else { "" };
            for column in columns {
                let quoted = format!("`{column}`");
                let is_there = text.contains(&quoted) || also.contains(&quoted);
                assert!(is_there, "docs/format.md does not name {name}.{column} of {file}");
            }
        }
        for name in other_objects(&sql) {
            assert!(
                document.contains(&format!("`{name}`")) || document.contains(&format!("view {name}")),
                "{name} of {file}"
            );
        }
    }
    assert!(tables_found > 20, "only {tables_found} tables were found");
}

#[test]
fn the_places_that_contributors_are_sent_to_exist() {
    let text = read("CONTRIBUTING.md");
    let quoted = text.split('`').skip(1).step_by(2);
    let is_place = |word: &&str| ["src/", "tests/"].iter().any(|folder| word.starts_with(folder));
    let places: Vec<&str> = quoted.filter(is_place).filter(|place| !place.contains('*')).collect();
    assert!(places.len() > 20, "{places:?}");
    for place in places {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(place).exists(), "there is no {place}");
    }
}

/// The document that is not checked: it quotes recorded texts.
const EXCEPT: &str = "docs/differences-recorded.md";

/// All documents in the project's folder and in `docs`, but for [`EXCEPT`].
fn documents() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "docs/"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in std::fs::read_dir(path).expect("a folder of the project") {
            let name = format!("{folder}{}", entry.expect("an entry").file_name().to_string_lossy());
            if name.ends_with(".md") && name != EXCEPT {
                found.push(name);
            }
        }
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

/// Words that must not begin a sentence, unless it is a question: "What is stored stays" has a clause as its subject.
const SUBJECTS: [&str; 3] = ["What ", "Who ", "Whoever "];
/// Phrases that are not idiomatic.
const PHRASES: [&str; 5] = ["is told", "are told", "who must be alone", "that this is is", "mends that"];

/// The bad sentences and phrases in `text`, which is one paragraph, cell or message.
fn bad_habits(text: &str) -> Vec<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for sentence in text.split_inclusive(['.', '?', '!', ':']) {
        let sentence = sentence.trim_start_matches([' ', '*', '-']);
        let relative = SUBJECTS.iter().any(|word| sentence.starts_with(word));
        if relative && sentence.ends_with('.') {
            found.push(sentence.to_owned());
        }
    }
    found.extend(PHRASES.iter().filter(|phrase| text.contains(*phrase)).map(|phrase| (*phrase).to_owned()));
    found
}

/// The paragraphs, items and cells of a document, without code.
fn passages(document: &str) -> Vec<String> {
    let mut passages = vec![String::new()];
    let mut in_code = false;
    for line in document.lines() {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        let is_item = line.trim_start().starts_with(['-', '#', '`']) || line.trim().is_empty();
        if in_code || is_item {
            passages.push(String::new());
        }
        if in_code || is_fence {
            continue;
        }
        if line.starts_with('|') {
            passages.extend(line.split('|').map(str::to_owned));
        } else {
            passages.last_mut().expect("there is one").extend([line, " "]);
        }
    }
    passages
}

#[test]
fn texts_have_no_bad_habits() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for file in documents() {
        for passage in passages(&read(&file)) {
            found.extend(bad_habits(&passage).iter().map(|bad| format!("{file}: {bad}")));
        }
    }
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs");
    for path in files_below(project, &["src"]) {
        let name = path.strip_prefix(project).expect("below the project").to_str().expect("text").to_owned();
        if is_test(&name) {
            continue;
        }
        let text = read(&name);
        let mut texts = strings(&text);
        if name.starts_with("src/cli/args") {
            // The help consists of these doc comments.
            let lines = text.lines().enumerate();
            texts.extend(lines.filter_map(|(n, l)| Some((n + 1, l.trim().strip_prefix("/// ")?.to_owned()))));
        }
        for (line, text) in texts {
            found.extend(bad_habits(&text).iter().map(|bad| format!("{name}:{line}: {bad}")));
        }
    }
    assert!(found.is_empty(), "in plain English, with a subject and a verb:\n{}", found.join("\n"));
}

#[test]
fn bad_habits_are_found() {
    let long = "It ends. What a client has written is lost. Is it lost? What is lost? Who knows?";
    assert_eq!(bad_habits(long), ["What a client has written is lost."]);
    assert_eq!(bad_habits("The user is told so"), ["is told"]);
    assert_eq!(bad_habits("**Who holds a lock.** More"), ["Who holds a lock."]);
    let rust = "// \"What is no text.\"\nlet a = \"What \\\n    is one.\";";
    assert_eq!(strings(rust), [(2, "What is one.".to_owned())]);
    assert_eq!(
        passages("a\nb\n\n| c | d |\n```\ne\n```\n").concat().split_whitespace().collect::<Vec<_>>(),
        ["a", "b", "c", "d"]
    );
}

//! Compares docs/format.md with the schemas of the databases.

use std::path::Path;

/// The files that define the tables of a database.
const SCHEMAS: [&str; 5] = [
    "src/meta/sqlite/schema.sql",
    "src/meta/sqlite/rbd.sql",
    "src/meta/sqlite/claims.sql",
    "src/meta/postgres/schema.sql",
    "src/meta/postgres/later.sql",
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

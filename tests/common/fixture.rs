//! Recorded facts about the fixtures: their versions, and the data that restores must give.

use super::database::Engine;
use super::images;
use super::install::{Install, fixture_folder};
use serde_json::Value;

/// A version in a fixture's manifest.
pub struct Recorded {
    /// The uid.
    pub uid: String,
    /// The name.
    pub name: String,
    /// The source image, if it was a file.
    pub image: Option<String>,
    /// Sha256 of the restored data; `None` if 2.13 failed to restore the version.
    pub sha256: Option<String>,
    /// The manifest's whole entry.
    pub entry: Value,
}

impl Recorded {
    /// A text of the manifest's entry; empty if there is none.
    pub fn text(&self, key: &str) -> String {
        self.entry[key].as_str().unwrap_or_default().to_owned()
    }

    /// A number of the manifest's entry.
    pub fn number(&self, key: &str) -> u64 {
        self.entry[key].as_u64().expect(key)
    }
}

/// The versions of a fixture.
pub fn versions(fixture: &str) -> Vec<Recorded> {
    let text = recorded(fixture, "manifest.json");
    let manifest: Value = serde_json::from_str(&text).expect("json");
    let versions = manifest["versions"].as_array().expect("versions");
    versions
        .iter()
        .map(|entry| Recorded {
            uid: entry["uid"].as_str().expect("uid").to_owned(),
            name: entry["name"].as_str().expect("name").to_owned(),
            image: entry["source_image"][0].as_str().map(str::to_owned),
            sha256: entry["restore_sha256"].as_str().map(str::to_owned),
            entry: entry.clone(),
        })
        .collect()
}

/// The version that was made from this image.
pub fn of_image(fixture: &str, image: &str) -> Recorded {
    let found = versions(fixture).into_iter().find(|v| v.image.as_deref() == Some(image));
    found.expect("a version of that image")
}

/// The text of a recorded file of a fixture.
pub fn recorded(fixture: &str, file: &str) -> String {
    std::fs::read_to_string(fixture_folder(fixture).join(file)).expect("read")
}

/// Restores every version that 2.13 could restore, and compares the data with that of 2.13.
pub fn restores_right(install: &Install, fixture: &str) {
    for version in versions(fixture) {
        if let Some(sha256) = &version.sha256 {
            let data = install.restored(&version.uid, "restored.img");
            assert_eq!(&images::sha256(&data), sha256, "{} of {fixture}", version.uid);
        }
    }
}

/// The rows of `blocks`, which is a table or a view, with any schema: all columns but the date, by version and block.
/// An empty text counts as NULL.
pub fn blocks(install: &Install) -> Vec<Vec<String>> {
    let columns = install.texts(match install.engine() {
        Engine::Sqlite => "SELECT name FROM pragma_table_info('blocks')",
        Engine::Postgres => "SELECT column_name FROM information_schema.columns WHERE table_name = 'blocks'",
    });
    let column = |name: &str, default: &str| {
        if columns.iter().any(|c| c == name) {
            format!("coalesce(nullif(CAST({name} AS TEXT), ''), {default})")
        } else {
            default.to_owned()
        }
    };
    let fields: Vec<String> = [
        ("uid", "'-'"),
        ("version_uid", "'-'"),
        ("id", "'-'"),
        ("checksum", "'-'"),
        ("size", "'-'"),
        ("valid", "'-'"),
        ("enc_version", "'0'"),
        ("enc_envkey", "'-'"),
        ("enc_nonce", "'-'"),
    ]
    .map(|(name, default)| column(name, default))
    .into();
    let rows =
        install.table(&format!("SELECT {} FROM blocks b ORDER BY b.version_uid, b.id", fields.join(", ")));
    rows.into_iter().map(|row| row.into_iter().map(|value| value.expect("no NULL")).collect()).collect()
}

/// The whole content of an SQLite database: its schema, and all rows of all tables.
pub fn dump(connection: &rusqlite::Connection) -> Vec<String> {
    let list = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).expect("prepared");
        let columns = statement.column_count();
        let rows = statement
            .query_map([], |row| {
                let values = (0..columns).map(|i| row.get::<_, rusqlite::types::Value>(i));
                Ok(format!("{:?}", values.collect::<Result<Vec<_>, _>>()?))
            })
            .expect("asked");
        let mut rows: Vec<String> = rows.collect::<Result<_, _>>().expect("rows");
        rows.sort();
        rows
    };
    let mut all = list("SELECT type, name, sql FROM sqlite_master");
    let mut statement = connection
        // Claims of processes that have ended may be removed at any time.
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'claims' ORDER BY name")
        .expect("prepared");
    let tables = statement.query_map([], |row| row.get::<_, String>(0)).expect("asked");
    for table in tables {
        let table = table.expect("a name");
        all.extend(list(&format!("SELECT '{table}', * FROM {table}")));
    }
    all
}

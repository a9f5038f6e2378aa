//! The URL that names a database of the metadata.

use crate::pg::Address;
use crate::types::error::{Error, Result};
use crate::types::reason::Reason;
use std::path::{Path, PathBuf};

/// The place of the metadata, which decides the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// An SQLite file.
    File(PathBuf),
    /// A database on a PostgreSQL server.
    Server(Box<Address>),
}

/// Instructions for a database that 2.13 could use and this program cannot.
const FROM_MYSQL: &str = "MySQL is not supported. To continue with SQLite, let release 2.13 export each \
                          version with the present configuration (backy2 -ms ls -f uid, then backy2 export \
                          UID FILE). Then set engine to sqlite:////path/of/the/database, and call `backy2 \
                          initdb` and `backy2 import FILE` for each file. Tags are not in these files; \
                          docs/migration.md has the commands for them.";

impl DatabaseUrl {
    /// Parses `sqlite:////abs/path`, `sqlite:///rel/path` and `postgresql://…`. Each may name a driver of SQLAlchemy
    /// (`postgresql+psycopg2://…`), which does not matter here.
    ///
    /// # Errors
    /// [`Error::Config`] for anything else, which names the setting. The error does not repeat the URL, which may
    /// contain a password.
    pub fn parse(engine: &str) -> Result<Self> {
        Self::read(engine).map_err(|why| Error::Config(why.during("[MetaBackend] engine")))
    }

    /// As [`DatabaseUrl::parse`], for a URL from anywhere.
    ///
    /// # Errors
    /// The reason names no setting, and does not repeat the URL.
    pub(crate) fn read(url: &str) -> std::result::Result<Self, Reason> {
        let bad = |text: &str| Err(text.into());
        let Some((scheme, rest)) = url.split_once("://") else {
            return bad(
                "this is not a URL. Write sqlite:////path/of/the/database or postgresql://user@host/database",
            );
        };
        match scheme.split('+').next().unwrap_or_default() {
            "sqlite" => match rest.strip_prefix('/') {
                Some("") | None => {
                    bad("a path is missing: sqlite:////absolute/path or sqlite:///relative/path")
                }
                Some(path) => Ok(DatabaseUrl::File(PathBuf::from(path))),
            },
            "postgresql" | "postgres" => Address::parse(url)
                .map(|address| DatabaseUrl::Server(Box::new(address)))
                .or_else(|text| bad(&text)),
            // 2.13 accepts every engine that its library knows.
            "mysql" | "mariadb" => bad(FROM_MYSQL),
            other => bad(&format!("{other}:// is not supported; use sqlite:// or postgresql://")),
        }
    }

    /// The path, if it is a file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            DatabaseUrl::File(path) => Some(path),
            DatabaseUrl::Server(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_slashes_tells_absolute_from_relative() {
        let sqlite = |path: &str| DatabaseUrl::File(PathBuf::from(path));
        assert_eq!(
            DatabaseUrl::parse("sqlite:////var/lib/x.sqlite").expect("absolute"),
            sqlite("/var/lib/x.sqlite")
        );
        assert_eq!(DatabaseUrl::parse("sqlite:///x.sqlite").expect("relative"), sqlite("x.sqlite"));
        assert_eq!(DatabaseUrl::parse("sqlite+pysqlite:///x").expect("driver"), sqlite("x"));
    }

    #[test]
    fn other_engines_are_refused_without_showing_a_password() {
        for url in
            ["", "x", "sqlite://", "sqlite:///", "mysql://u:secret@h/d", "postgresql://u:secret@h/d?x=y"]
        {
            let error = DatabaseUrl::parse(url).expect_err(url).to_string();
            assert!(error.contains("engine") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_error_for_mysql_says_how_to_get_to_sqlite() {
        for url in ["mysql://u:secret@h/d", "mysql+pymysql://u:secret@h/d", "mariadb://u:secret@h/d"] {
            let error = DatabaseUrl::parse(url).expect_err(url).to_string();
            for part in ["export UID FILE", "initdb", "import FILE", "sqlite:////", "migration.md"] {
                assert!(error.contains(part) && !error.contains("secret"), "{error}");
            }
        }
    }
}

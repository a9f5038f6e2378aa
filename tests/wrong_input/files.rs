//! Files that should be SQLite databases and are not.

use crate::common::install::{Install, noise};

#[test]
fn an_unusable_database_is_named_and_left_alone() {
    let install = Install::without_database(4096);
    let (source, database) = (install.image("a.img", &noise(7, 4096)), install.path("backy.sqlite"));
    for content in [None, Some(&b""[..]), Some(b"this is no database, but it is long enough to look at")] {
        if let Some(content) = content {
            std::fs::write(&database, content).expect("write");
        }
        for args in [&["ls"][..], &["-m", "ls"], &["backup", &source, "a"], &["cleanup"]] {
            let error = install.fails(1, args);
            assert!(error.contains(database.to_str().expect("text")), "{error}");
            assert!(content.is_some_and(|c| !c.is_empty()) || error.contains("initdb"), "{error}");
        }
        assert_eq!(std::fs::read(&database).ok().as_deref(), content);
    }
}

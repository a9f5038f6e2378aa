//! Tests of the tree.

use super::*;
use crate::types::keys::VersionKey;
use crate::types::time::Timestamp;

fn version(uid: &str, name: &str, day: u32, valid: bool) -> Version {
    Version {
        key: VersionKey(1),
        uid: uid.into(),
        date: Timestamp::parse(&format!("2020-04-{day:02} 01:02:03")).expect("a date"),
        expire: Timestamp::parse("2020-05-01T06:07:08"),
        name: name.to_owned(),
        snapshot_name: String::new(),
        size: 2,
        size_bytes: 5000,
        valid,
        protected: !valid,
        tags: vec!["a".to_owned(), "b".to_owned()],
    }
}

fn tree() -> (Tree, Numbers) {
    let mut numbers = Numbers::default();
    let versions = vec![
        version("u1", "vm", 1, true),
        version("u2", "vm", 2, true),
        version("u3", "vm", 3, false),
        version("u4", "a/b", 4, false),
    ];
    (Tree::new(versions, &mut numbers), numbers)
}

fn walk(tree: &Tree, path: &str) -> Option<Node> {
    path.split('/').filter(|part| !part.is_empty()).try_fold(Node::Root, |node, name| tree.child(node, name))
}

fn names(tree: &Tree, path: &str) -> Vec<String> {
    let node = walk(tree, path).expect(path);
    tree.children(node).expect("a folder").into_iter().map(|(_, name)| name).collect()
}

#[test]
fn folders_list_entries_that_can_be_looked_up() {
    let (tree, _) = tree();
    assert_eq!(names(&tree, "/"), ["by_name", "by_version_uid"]);
    assert_eq!(names(&tree, "/by_name"), ["a%2Fb", "vm"]);
    assert_eq!(names(&tree, "/by_version_uid"), ["u1", "u2", "u3", "u4"]);
    assert_eq!(names(&tree, "/by_name/vm"), ["u1", "u2", "u3", "latest"]);
    assert_eq!(names(&tree, "/by_name/a%2Fb"), ["u4"], "nothing valid, nothing latest");
    let common = ["data", "expire", "name", "snapshot_name", "tags"];
    assert_eq!(names(&tree, "/by_version_uid/u1"), [&common[..], &["valid"]].concat());
    assert_eq!(names(&tree, "/by_version_uid/u3"), [&common[..], &["invalid", "protected"]].concat());
    for folder in ["/", "/by_name", "/by_version_uid", "/by_name/vm", "/by_version_uid/u3"] {
        let node = walk(&tree, folder).expect("there");
        for (child, name) in tree.children(node).expect("a folder") {
            assert_eq!(tree.child(node, &name), Some(child));
            assert!(tree.facts(child).is_some(), "{name}");
        }
    }
    assert_eq!(walk(&tree, "/by_version_uid/u1/invalid"), None);
    assert_eq!(walk(&tree, "/by_name/a%2Fb/latest"), None);
}

#[test]
fn links_lead_to_versions() {
    let (tree, _) = tree();
    let target = |path: &str| tree.target(walk(&tree, path).expect(path)).expect("a link");
    assert_eq!(target("/by_name/vm/u1"), "../../by_version_uid/u1");
    assert_eq!(target("/by_name/vm/latest"), "../../by_version_uid/u2", "the newest valid one");
}

#[test]
fn files_have_sizes_and_texts() {
    let (tree, _) = tree();
    let version = tree.version(1).expect("the first one");
    assert_eq!(Field::Expire.text(version).as_deref(), Some("2020-05-01T06:07:08"));
    assert_eq!(Field::Tags.text(version).as_deref(), Some("a,b"));
    let facts = |path: &str| tree.facts(walk(&tree, path).expect(path)).expect("there");
    assert_eq!(facts("/by_version_uid/u1/data").size, 5000);
    assert_eq!(facts("/by_version_uid/u1/expire").size, 19);
    assert_eq!(facts("/by_version_uid/u1/snapshot_name").size, 0);
    let date = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_587_344_523 - 19 * 86_400);
    assert_eq!(facts("/by_version_uid/u1").date, date);
}

#[test]
fn numbers_stay_when_versions_come_and_go() {
    let (before, mut numbers) = tree();
    let versions = vec![version("u9", "new", 1, true), version("u2", "vm", 2, true)];
    let after = Tree::new(versions, &mut numbers);
    for path in ["/by_version_uid/u2", "/by_name/vm", "/by_name/vm/latest"] {
        assert_eq!(walk(&before, path), walk(&after, path));
    }
    let old: Vec<_> =
        before.children(Node::Uids).expect("a folder").into_iter().map(|(node, _)| node).collect();
    assert!(!old.contains(&walk(&after, "/by_version_uid/u9").expect("there")), "no number is used again");
    assert!(before.facts(Node::Version(1)).is_some());
    assert_eq!(after.facts(Node::Version(1)), None);
}

//! `rekey` and `import` change everything or nothing.

use crate::common::install::{Install, noise};

const OLD: &str = "decafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbad";
const NEW: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn with_a_version() -> (Install, String, Vec<u8>) {
    let install = Install::new(4096);
    let mut image = noise(1, 40 * 4096 + 100);
    image[4096..3 * 4096].fill(0);
    std::fs::write(install.path("x.img"), &image).expect("written");
    let uid = install.backup(&[&install.url("x.img"), "x"]);
    (install, uid, image)
}

#[test]
fn a_rekey_that_is_killed_has_changed_nothing() {
    let (install, uid, image) = with_a_version();
    install.set("encryption_key", NEW);
    assert!(install.killed_at("rekey-before-commit", &["rekey", OLD]));
    install.fails(6, &["restore", &uid, &install.url("no.img")]);
    install.set("encryption_key", OLD);
    assert!(install.restored(&uid, "out.img") == image);

    install.set("encryption_key", NEW);
    install.ok(&["rekey", OLD]);
    assert!(install.restored(&uid, "out.img") == image);
    let error = install.fails(100, &["rekey", OLD]);
    assert!(error.contains("old key") && !error.contains(OLD), "{error}");
    assert!(
        !std::fs::read_to_string(install.path("backy.log")).expect("log").contains(OLD),
        "no key in the log"
    );
}

#[test]
fn an_import_that_is_killed_has_imported_nothing() {
    let (install, uid, image) = with_a_version();
    let dump = install.text("x.csv");
    install.ok(&["export", &uid, &dump]);
    install.fails(22, &["import", &dump]);
    install.ok(&["rm", "-f", &uid]);
    assert!(install.killed_at("import-before-commit", &["import", &dump]));
    install.assert_sound();
    assert_eq!(install.uids(&[]).len(), 0);
    install.ok(&["import", &dump]);
    install.ok(&["scrub", &uid]);
    assert!(install.restored(&uid, "out.img") == image);
}

#[test]
fn a_dump_with_a_block_twice_is_refused() {
    let (install, uid, _) = with_a_version();
    let dump = install.text("x.csv");
    install.ok(&["export", &uid, &dump]);
    install.ok(&["rm", "-f", &uid]);
    let text = std::fs::read_to_string(&dump).expect("the dump");
    let twice = text.lines().last().expect("a block");
    std::fs::write(&dump, format!("{text}{twice}\r\n")).expect("written");
    install.refuses(23, &["import", &dump], &["line 44", "block 40", "twice", "Nothing was imported"]);
    assert_eq!(install.uids(&[]).len(), 0);
}

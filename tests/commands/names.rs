//! Versions by name: for a uid, commands also accept its beginning, `NAME`, `NAME:latest` and `NAME:N`.

use crate::common::install::{Install, noise};

const BLOCK: usize = 4096;

/// Three versions of `vm`, oldest first, the last one invalid, with their images.
fn versions() -> (Install, Vec<String>, Vec<Vec<u8>>) {
    let install = Install::new(BLOCK as u32);
    let images: Vec<Vec<u8>> = (1..4).map(|seed| noise(seed, 3 * BLOCK)).collect();
    let uids: Vec<String> =
        images.iter().map(|image| install.backup(&[&install.image("x.img", image), "vm"])).collect();
    install.change(&format!("UPDATE versions SET valid = 0 WHERE uid = '{}'", uids[2]));
    (install, uids, images)
}

/// Every command that takes a version, written `V`, and changes nothing that the next one needs.
const COMMANDS: [&[&str]; 15] = [
    &["restore", "-f", "V", "file://out"],
    &["scrub", "V"],
    &["export", "V", "out.csv"],
    &["stats", "V"],
    &["du", "V"],
    &["diff-meta", "V", "V"],
    &["protect", "V"],
    &["unprotect", "V"],
    &["add-tag", "V", "one,two"],
    &["remove-tag", "V", "two"],
    &["expire", "V", "2031-01-01"],
    &["backup", "-f", "V", "file://x.img", "other"],
    &["migrate-encryption", "V"],
    &["rm", "-f", "V"],
    &["backup", "-c", "V", "file://x.img", "vm"],
];

fn with(args: &[&str], version: &str) -> Vec<String> {
    args.iter().map(|arg| if *arg == "V" { version.to_owned() } else { (*arg).to_owned() }).collect()
}

#[test]
fn every_command_takes_every_form() {
    for form in ["vm:1", "vm", "vm:latest", "vm:0", "prefix", "prefix36"] {
        let (install, uids, images) = versions();
        let uid = if form == "vm:1" { &uids[0] } else { &uids[1] };
        let version = match form {
            "prefix" => uid[..8].to_owned(),
            "prefix36" => uid[..35].to_owned(),
            other => other.to_owned(),
        };
        for command in COMMANDS {
            let args = with(command, &version);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            if command.contains(&"-c") {
                continue;
            }
            if command[0] == "rm" {
                // The migration has made a newer version with that name.
                for extra in install.uids(&["vm"]).iter().filter(|other| !uids.contains(other)) {
                    install.ok(&["rm", "-f", extra]);
                }
            }
            if command[0] == "rm" && form == "vm" {
                install.refuses(100, &args, &["'vm' is a name", "vm:latest", &uids[0], &uids[1]]);
                continue;
            }
            install.ok(&args);
            match command[0] {
                "restore" => {
                    let at = uids.iter().position(|other| other == uid).expect("one of them");
                    assert!(std::fs::read(install.path("out")).expect("read") == images[at], "{form}");
                }
                "export" => {
                    let dump = std::fs::read_to_string(install.path("out.csv")).expect("read");
                    assert!(dump.lines().nth(1).expect("a line").starts_with(uid.as_str()), "{form}");
                }
                "add-tag" => assert_eq!(tagged(&install, "two"), [uid.as_str()], "{form}"),
                "remove-tag" => assert_eq!(tagged(&install, "one"), [uid.as_str()], "{form}"),
                "rm" => assert!(!install.uids(&[]).contains(uid), "{form}"),
                _ => {}
            }
        }
        assert_eq!(tagged(&install, "two"), Vec::<String>::new());
    }
}

fn tagged(install: &Install, tag: &str) -> Vec<String> {
    install.uids(&["-t", tag, "vm"])
}

#[test]
fn a_version_is_continued_by_a_prefix_and_invalid_ones_have_no_number() {
    let (install, uids, images) = versions();
    install.fails(100, &["restore", "vm:2", &install.url("out")]);
    install.image("x.img", &images[2]);
    install.change("DELETE FROM block_map WHERE version_id = 3 AND block_id = 1");
    let out = install.backup(&["-c", &uids[2][..8], &install.url("x.img"), "vm"]);
    assert_eq!(out, uids[2]);
    assert!(install.restored("vm:0", "out") == images[2] && install.restored("vm:2", "out") == images[0]);
}

#[test]
fn names_with_colons_and_names_that_look_like_numbers_are_names_first() {
    let install = Install::new(BLOCK as u32);
    let backup = |name: &str| install.backup(&[&install.image("x.img", name.as_bytes()), name]);
    for name in ["a", "a:1", "a:latest", "a:b:c", "x:0", ":", "7", "nämé", "with blank", "a", "a:1"] {
        backup(name);
    }
    for (text, wanted) in [
        ("a", "a"),
        ("a:0", "a"),
        ("a:1", "a:1"),
        ("a:1:0", "a:1"),
        ("a:1:1", "a:1"),
        ("a:latest", "a:latest"),
        ("a:latest:latest", "a:latest"),
        ("a:b:c", "a:b:c"),
        ("a:b:c:0", "a:b:c"),
        ("x:0", "x:0"),
        (":", ":"),
        (":::latest", ""),
        ("::latest", ":"),
        ("7", "7"),
        ("nämé:0", "nämé"),
        ("with blank", "with blank"),
    ] {
        if wanted.is_empty() {
            install.refuses(100, &["du", text], &[text]);
        } else {
            assert_eq!(install.restored(text, "out"), wanted.as_bytes(), "{text}");
        }
    }
}

#[test]
fn a_name_that_is_the_beginning_of_another_versions_uid_is_ambiguous() {
    let (install, uids, images) = versions();
    let name = &uids[0][..8];
    let named = install.backup(&[&install.image("x.img", &noise(9, BLOCK)), name]);
    install.refuses(100, &["restore", name, &install.url("no")], &["several", &uids[0], &named]);
    let error = install.fails(100, &["stats", name]);
    assert!(error.contains("several") && error.contains(&uids[0]) && error.contains(&named), "{error}");
    // Both versions can still be named in other ways.
    assert!(install.restored(&uids[0], "out") == images[0]);
    assert!(install.restored(&format!("{name}:latest"), "out") == noise(9, BLOCK));
    // If both meanings lead to the same version, the name is not ambiguous.
    install.change(&format!("UPDATE versions SET name = substr(uid, 1, 9) WHERE uid = '{}'", uids[1]));
    assert!(install.restored(&uids[1][..9], "out") == images[1]);
    // A whole uid always means that version.
    install.change(&format!("UPDATE versions SET name = '{}' WHERE uid = '{named}'", uids[0]));
    assert!(install.restored(&uids[0], "out") == images[0]);
}

#[test]
fn a_shared_beginning_is_ambiguous_and_a_short_one_means_nothing() {
    let (install, uids, _) = versions();
    for (at, uid) in uids.iter().enumerate() {
        let new = format!("0badcafe-000{at}-11f1-90ca-02fc00000001");
        install.change(&format!(
            "DELETE FROM tags WHERE version_uid = '{uid}'; UPDATE versions SET uid = '{new}' WHERE uid = '{uid}'"
        ));
    }
    let words = ["several", "0badcafe-0000", "0badcafe-0001", "0badcafe-0002", "(invalid)"];
    install.refuses(100, &["rm", "0badca"], &words);
    install.refuses(100, &["stats", "0badca"], &words);
    install.refuses(100, &["rm", "0badc"], &["0badc", "not found"]);
    install.refuses(100, &["rm", ""], &["not found"]);
    install.refuses(100, &["rm", "0BADCAFE-0001"], &["not found"]);
    install.ok(&["rm", "0badcafe-0001"]);
}

#[test]
fn a_missing_version_is_an_error_that_lists_similar_ones() {
    let (install, uids, _) = versions();
    for command in COMMANDS.iter().filter(|command| command[0] != "stats") {
        for text in ["nosuch", "nosuch:0", "vm:5", "vm:-1", "vm:one", "vm:99999999999999999999999", "VM"] {
            let args = with(command, text);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let error = install.fails(100, &args);
            assert!(error.contains(text) && error.contains("not found"), "{args:?}: {error}");
        }
    }
    let error = install.fails(100, &["rm", "vm:5"]);
    assert!(uids.iter().all(|uid| error.contains(uid.as_str())) && error.contains("(invalid)"), "{error}");
    assert_eq!(install.uids(&[]).len(), 3);
}

#[test]
fn the_statistics_of_a_removed_version_are_found_by_its_uid() {
    let (install, uids, _) = versions();
    install.ok(&["rm", "-f", &uids[0]]);
    let rows = |text: &str| -> Vec<String> {
        install.ok(&["-ms", "stats", "-f", "uid", text]).lines().map(str::to_owned).collect()
    };
    assert_eq!(rows(&uids[0]), [uids[0].as_str()]);
    assert_eq!(rows("vm"), [uids[1].as_str()]);
    assert_eq!(rows(&uids[2][..8]), [uids[2].as_str()]);
    assert_eq!(rows("nosuch"), Vec::<String>::new(), "as with 2.13");
    install.fails(100, &["restore", &uids[0], &install.url("no")]);
}

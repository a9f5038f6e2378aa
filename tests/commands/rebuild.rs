//! The database is lost, and made anew from the data store.

use crate::common::checks::seed;
use crate::common::database::Engine;
use crate::common::install::{Install, noise};
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;

/// An installation with a history: three versions of one image, one of another, of which some are protected, tagged or
/// removed.
fn with_a_history() -> Install {
    let install = Install::new(BLOCK as u32);
    let mut config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    config += "\n[daily]\ninterval: 1d\nkeep: 3\nsla: 6h\n";
    std::fs::write(install.path("backy.cfg"), config).expect("written");
    let mut image = noise(1, 40 * BLOCK);
    image[5 * BLOCK..9 * BLOCK].fill(0);
    for n in 0..3 {
        image[n * BLOCK..(n + 1) * BLOCK].copy_from_slice(&noise(10 + n as u64, BLOCK));
        install.backup(&["-t", "daily,first", &install.image("a.img", &image), "a"]);
    }
    install.backup(&["-s", "snapshot", &install.image("b.img", &image[..20 * BLOCK + 7]), "b"]);
    let gone = install.backup(&[&install.image("c.img", &noise(3, 9 * BLOCK)), "c"]);
    install.ok(&["rm", "-f", &gone]);
    install.ok(&["protect", "a:1"]);
    install.ok(&["expire", "a:0", "2031-05-06"]);
    install.ok(&["add-tag", "b", "ö,x"]);
    install.ok(&["remove-tag", "a:1", "first"]);
    install
}

/// What commands show of the versions.
fn shown(install: &Install) -> Vec<String> {
    let mut all = Vec::new();
    let args: [&[&str]; 6] = [
        &["-ms", "ls"],
        &["--json", "ls"],
        &["-ms", "du"],
        &["-ms", "due", "-s", "daily", "-f", "name,schedulers"],
        &["-ms", "sla", "-s", "daily"],
        &["diff-meta", "a:0", "a:1"],
    ];
    all.extend(args.iter().map(|args| install.ok(args)));
    let uids = install.uids(&[]);
    // The rows of removed versions are not in the copies.
    let of_versions = |line: &&str| uids.iter().any(|uid| line.contains(uid.as_str()));
    all.extend(install.ok(&["-ms", "stats"]).lines().filter(of_versions).map(str::to_owned));
    all.extend(uids.iter().map(|uid| format!("{:?}", blake3::hash(&install.restored(uid, "out")))));
    all
}

/// The indexes of the database, as SQL.
fn indexes(install: &Install) -> Vec<String> {
    install.texts(match install.engine() {
        Engine::Sqlite => "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql <> '' ORDER BY name",
        Engine::Postgres => "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname",
    })
}

#[test]
fn everything_comes_back() {
    let install = with_a_history();
    let indexes_before = indexes(&install);
    let before = shown(&install);
    let checked = install.ok(&["rebuild", "--check"]);
    assert!(checked.contains("copies of all 4 versions"), "{checked}");
    install.refuses(100, &["rebuild"], &["is not empty"]);
    install.lose_database();
    // No other command touches the store.
    let error = install.fails(1, &["backup", &install.url("a.img"), "a"]);
    assert!(error.contains("backy2 rebuild"), "{error}");
    install.ok(&["initdb"]);
    let error = install.fails(6, &["backup", &install.url("a.img"), "a"]);
    assert!(error.contains("backy2 rebuild"), "{error}");
    let told = install.ok(&["rebuild"]);
    assert!(told.contains("The database is rebuilt: 4 versions"), "{told}");
    assert_eq!(shown(&install), before);
    assert_eq!(indexes(&install), indexes_before);
    install.assert_sound();
    assert!(told.contains("`backy2 check`"), "{told}");
    install.ok(&["check", "--read", "100"]);
    install.ok(&["rebuild", "--check"]);

    // Work goes on, and what it adds comes back too.
    install.backup(&[&install.url("a.img"), "a"]);
    install.ok(&["cleanup", "--dangerous-force"]);
    install.ok(&["cleanup", "--full"]);
    install.assert_no_waste();
    install.ok(&["rm", "-f", "b:latest"]);
    install.ok(&["cleanup", "--dangerous-force"]);
    let before = shown_without_b(&install);
    install.lose_database();
    install.ok(&["rebuild"]);
    assert_eq!(shown_without_b(&install), before);
    install.assert_no_waste();
}

fn shown_without_b(install: &Install) -> Vec<String> {
    [&["-ms", "ls"][..], &["-ms", "du"]].map(|args| install.ok(args)).into()
}

#[test]
fn a_rebuild_that_is_killed_leaves_nothing_or_all() {
    let install = with_a_history();
    let before = shown(&install);
    let mut random = fastrand::Rng::with_seed(seed("a_rebuild_that_is_killed"));
    let whole_or_nothing = |what: &str| {
        // The last attempt may have been killed before it made tables.
        let listed = install.run(&["-ms", "ls", "-f", "uid"]);
        let lines = listed.stdout.lines().count();
        assert!(lines == 0 || lines == 4, "{what}: {lines} versions");
        if lines == 0 {
            install.ok(&["rebuild"]);
        }
        assert_eq!(shown(&install), before, "{what}");
        install.assert_sound();
    };
    for failpoint in ["rebuild-tables-made:1", "rebuild-before-commit:1"] {
        install.lose_database();
        assert!(install.killed_at(failpoint, &["rebuild"]), "{failpoint}");
        assert!(install.run(&["-ms", "ls"]).stdout.is_empty());
        whole_or_nothing(failpoint);
    }
    install.lose_database();
    let start = Instant::now();
    install.ok(&["rebuild"]);
    let whole = start.elapsed();
    for _ in 0..8 {
        install.lose_database();
        let pause: Duration = whole.mul_f64(random.f64() * 1.1);
        install.killed_after(pause, &["rebuild"]);
        whole_or_nothing(&format!("killed after {pause:?}"));
    }
}

#[test]
fn a_check_names_what_is_different() {
    let install = with_a_history();
    // The store is away while a version is changed.
    std::fs::rename(install.path("data"), install.path("away")).expect("moved");
    install.ok(&["add-tag", "b", "late"]);
    std::fs::rename(install.path("away"), install.path("data")).expect("moved");
    let uid = install.uids(&["b"]).remove(0);
    let error = install.fails(20, &["rebuild", "--check"]);
    assert!(error.contains(&format!("versions/{uid} is not up to date: tags")), "{error}");
    install.ok(&["cleanup"]);
    install.ok(&["rebuild", "--check"]);

    let file = install.path("data").join("versions").join(&uid);
    let good = std::fs::read(&file).expect("read");
    std::fs::write(&file, &good[..40]).expect("written");
    let run = install.run(&["--json", "rebuild", "--check"]);
    assert_eq!(run.code, 20);
    let found: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(found["differences"][0]["what"], format!("versions/{uid}"), "{found}");
    std::fs::remove_file(&file).expect("removed");
    let error = install.fails(20, &["rebuild", "--check"]);
    assert!(error.contains(&format!("Version {uid} (b) has no copy")), "{error}");

    // The same damage in a rebuild.
    std::fs::write(&file, &good[..40]).expect("written");
    install.lose_database();
    let run = install.run(&["--json", "rebuild"]);
    assert_eq!(run.code, 20, "{}", run.stderr);
    let found: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!((&found["versions"], &found["invalid"]), (&3.into(), &serde_json::json!([])));
    assert_eq!(found["skipped"][0]["object"], format!("versions/{uid}"), "{found}");
}

#[test]
fn a_store_that_cannot_be_rebuilt_from_is_refused() {
    let install = with_a_history();
    install.lose_database();
    let key = "11".repeat(32);
    install.set("encryption_key", &key);
    install.refuses(100, &["rebuild"], &["does not open the key of the data store"]);
    install.set("encryption_key", &"decafbad".repeat(8));
    install.set("block_size", "8192");
    install.refuses(1, &["rebuild"], &["block_size: 4096"]);
    install.set("block_size", "4096");
    std::fs::rename(install.path("data"), install.path("away")).expect("moved");
    std::fs::create_dir(install.path("data")).expect("made");
    install.refuses(6, &["rebuild"], &["has no backy2.store"]);
    std::fs::remove_dir(install.path("data")).expect("removed");
    std::fs::rename(install.path("away"), install.path("data")).expect("moved");
    install.ok(&["rebuild"]);
}

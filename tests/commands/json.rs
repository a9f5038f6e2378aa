//! `--json` prints one document, with exactly the fields that docs/json.md lists.

use crate::common::database::Engine;
use crate::common::install::{Install, Run, fixture_folder, noise};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// For each command, its fields and their types.
type Fields = BTreeMap<String, BTreeMap<String, String>>;

/// The fields that docs/json.md lists.
fn documented() -> Fields {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let text = std::fs::read_to_string(path).expect("docs/json.md");
    let mut all = Fields::new();
    let mut command = String::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            command = title.to_owned();
            all.entry(command.clone()).or_default();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", field, kind, _, ""] = cells[..]
            && let Some(field) = field.strip_prefix('`').and_then(|field| field.strip_suffix('`'))
        {
            all.get_mut(&command).expect("a title").insert(field.to_owned(), kind.to_owned());
        }
    }
    let of = |all: &Fields, command: &str, list: &str, member: &str| -> Vec<(String, String)> {
        let rename = |(field, kind): (&String, &String)| (field.replace(list, member), kind.clone());
        all[command].iter().map(rename).collect()
    };
    let (version, statistics) =
        (of(&all, "ls", "versions[]", "version"), of(&all, "stats", "stats[]", "statistics"));
    for fields in all.values_mut() {
        if fields.remove("version").is_some() {
            fields.extend(version.clone());
        }
        if fields.remove("statistics").is_some() {
            fields.extend(statistics.clone());
        }
    }
    all
}

/// Collects all leaves of a document with their types.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<(String, String)>) {
    let kind = match value {
        Value::Object(object) => {
            let dot = if path.is_empty() { "" } else { "." };
            return object.iter().for_each(|(key, value)| leaves(value, &format!("{path}{dot}{key}"), found));
        }
        Value::Array(list) => {
            return list.iter().for_each(|value| leaves(value, &format!("{path}[]"), found));
        }
        Value::String(text) if is_date(text) => "date",
        Value::String(_) => "text",
        Value::Number(number) if number.is_u64() => "number",
        Value::Number(_) => "fraction",
        Value::Bool(_) => "boolean",
        Value::Null => "null",
    };
    found.insert((path.to_owned(), kind.to_owned()));
}

fn is_date(text: &str) -> bool {
    let form = "0000-00-00T00:00:00.000000Z";
    let fits = |(a, b): (char, char)| if b == '0' { a.is_ascii_digit() } else { a == b };
    text.len() == form.len() && text.chars().zip(form.chars()).all(fits)
}

/// The only document on stdout.
fn document(run: &Run) -> Value {
    assert!(run.stdout.ends_with('\n') && run.stdout.matches('\n').count() == 1, "one line: {run:?}");
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"))
}

/// The fields that occur, for each command.
#[derive(Default)]
struct Occurring(BTreeMap<String, BTreeSet<(String, String)>>);

impl Occurring {
    fn run(&mut self, install: &Install, code: i32, args: &[&str]) -> Value {
        let run = install.run(&[&["--json"], args].concat());
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        let value = document(&run);
        let command = if value.get("error").is_some() { "errors" } else { args[0] };
        leaves(&value, "", self.0.entry(command.to_owned()).or_default());
        value
    }
}

fn install() -> Install {
    let install = Install::new(4096);
    let text = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let schedulers =
        "\n[daily]\ninterval: 1d\nkeep: 3\nsla: 6h\n\n[weekly]\ninterval: 7d\nkeep: 2\nsla: 12h\n";
    std::fs::write(install.path("backy.cfg"), text + schedulers).expect("written");
    install
}

/// Commands that list something in the installation of the test.
const LISTS: [&[&str]; 6] = [
    &["ls"],
    &["stats"],
    &["du"],
    &["due", "-s", "daily,weekly"],
    &["sla", "-s", "daily", "new"],
    &["prune", "--dry-run"],
];

#[test]
fn documented_and_occurring_keys_are_the_same() {
    let install = install();
    let mut all = Occurring::default();
    let mut image = noise(1, 12 * 4096);
    image[..4096].fill(0);
    let source = install.image("x.img", &image);
    let made = all.run(&install, 0, &["backup", "-t", "a,b", "-e", "2030-01-02", &source, "vm"]);
    let uid = made["version"]["uid"].as_str().expect("a uid").to_owned();
    assert_eq!(made["version"]["expire"], "2030-01-02T00:00:00.000000Z");
    assert_eq!(made["version"]["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(
        (&made["version"]["valid"], &made["statistics"]["blocks_written"]),
        (&true.into(), &11.into())
    );
    image.truncate(10 * 4096);
    image[5 * 4096..6 * 4096].copy_from_slice(&noise(2, 4096));
    let small = all.run(&install, 0, &["backup", &install.image("y.img", &image), "vm"]);
    let small = small["version"]["uid"].as_str().expect("a uid").to_owned();
    for args in LISTS {
        all.run(&install, 0, args);
    }
    all.run(&install, 2, &["sla", "--check", "-s", "daily", "new"]);
    statuses(&mut all, &install, &uid, &small);
    let diff = all.run(&install, 0, &["diff-meta", &uid, &small]);
    let differences: Vec<&str> = diff["blocks"]
        .as_array()
        .expect("blocks")
        .iter()
        .map(|b| b["difference"].as_str().expect("a word"))
        .collect();
    assert_eq!(differences.iter().filter(|word| **word == "only_left").count(), 2);
    assert_eq!((differences[0], differences[5]), ("same", "differs"));
    all.run(&install, 0, &["scrub", &uid]);
    std::fs::remove_file(install.blob(&install.blob_uid(&uid, 11))).expect("removed");
    let restored = all.run(&install, 20, &["restore", &uid, &install.url("out")]);
    assert_eq!(restored["bad"], serde_json::json!([{"offset": 11 * 4096, "length": 4096}]));
    assert_eq!(all.run(&install, 20, &["scrub", &uid])["verdict"], "bad");
    all.run(&install, 20, &["check"]);
    all.run(&install, 0, &["migrate-encryption", &small]);
    let dump = install.text("x.csv");
    install.ok(&["export", &uid, &dump]);
    assert_eq!(all.run(&install, 0, &["rm", &uid])["blocks"], 12);
    all.run(&install, 0, &["import", &dump]);
    all.run(&install, 0, &["rm", &uid]);
    all.run(&install, 0, &["status", "--store"]);
    all.run(&install, 0, &["report", &install.text("page.html")]);
    for more in [&[][..], &["--dry-run", "--dangerous-force"], &["--dangerous-force"], &["--full"]] {
        all.run(&install, 0, &[&["cleanup"], more].concat());
    }
    install.change("UPDATE blobs SET enc_envkey = 'x' WHERE id = (SELECT max(id) FROM blobs)");
    install.set("encryption_key", &"00ff".repeat(16));
    let old = "decafbad".repeat(8);
    assert_eq!(all.run(&install, 0, &["rekey", &old])["damaged"].as_array().map(Vec::len), Some(1));
    all.run(&install, 100, &["rekey", &old]);
    let mut holder = std::process::Command::new("flock")
        .args(["-o", "-s", &install.text("lock/backy_x.lock"), "sleep", "60"])
        .spawn()
        .expect("flock of util-linux");
    while install.ok(&["-ms", "locks"]).is_empty() {
        std::thread::yield_now();
    }
    all.run(&install, 0, &["locks"]);
    holder.kill().expect("killed");
    holder.wait().expect("ended");
    all.run(&install, 0, &["migrate-db", &format!("sqlite:///{}", install.text("copy.sqlite"))]);
    all.run(&install, 0, &["upgrade"]);
    of_files(&mut all);
    of_jobs(&mut all);
    compare(&all);
}

/// `status` with and without a schedule, names that have no version, and versions that are not valid.
fn statuses(all: &mut Occurring, install: &Install, uid: &str, small: &str) {
    all.run(install, 0, &["status", "vm", "nosuch"]);
    install.ok(&["scrub", small]);
    install.ok(&["scrub", uid]);
    install.ok(&["add-tag", uid, "daily"]);
    install.change(&format!("UPDATE versions SET valid = 0 WHERE uid = '{small}'"));
    all.run(install, 0, &["status"]);
    install.change(&format!("UPDATE versions SET valid = 1 WHERE uid = '{small}'"));
    install.ok(&["remove-tag", uid, "daily"]);
}

/// Jobs that end in different ways.
fn of_jobs(all: &mut Occurring) {
    let install = Install::new(4096);
    let source = install.image("x.img", &noise(1, 12 * 4096));
    let config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let jobs = format!(
        "\n[daily]\ninterval: 1d\nkeep: 3\nsla: 1h\n\n[job:a]\nsource: {source}\n\n[job:b]\nsource: {source}.none\n"
    );
    std::fs::write(install.path("backy.cfg"), config + &jobs).expect("written");
    all.run(&install, 0, &["run", "--dry-run"]);
    all.run(&install, 100, &["run"]);
    all.run(&install, 0, &["run", "--dry-run"]);
    all.run(&install, 0, &["run", "a"]);
}

/// Commands on SQLite files, whatever engine the other commands use.
fn of_files(all: &mut Occurring) {
    let file = Install::on(Engine::Sqlite, 4096);
    let source = file.image("x.img", &noise(1, 12 * 4096));
    let whole = file.backup(&["-t", "a", &source, "vm"]);
    let old = file.text("old.sqlite");
    std::fs::copy(fixture_folder("E").join("backy.sqlite"), &old).expect("copied");
    all.run(&file, 20, &["downgrade-check", &old]);
    let other = file.backup(&[&source, "other"]);
    std::fs::write(file.path("data/versions").join(&other), "x").expect("written");
    all.run(&file, 20, &["rebuild", "--check"]);
    std::fs::remove_file(file.blob(&file.blob_uid(&whole, 11))).expect("removed");
    file.lose_database();
    all.run(&file, 20, &["rebuild"]);
}

fn compare(all: &Occurring) {
    let documented = documented();
    assert_eq!(all.0.keys().collect::<Vec<_>>(), documented.keys().collect::<Vec<_>>(), "commands");
    for (command, occurring) in &all.0 {
        let fields = &documented[command];
        for (field, kind) in occurring {
            let told = fields.get(field).unwrap_or_else(|| panic!("{command}: {field} is not documented"));
            assert!(told.split(" or ").any(|one| one == kind), "{command}: {field} is {kind}, not {told}");
        }
        for (field, told) in fields {
            let found = |one: &str| occurring.contains(&(field.clone(), one.to_owned()));
            // Lock files have no heartbeat.
            // Large stores and those elsewhere have no such sums.
            let by_engine = command == "locks" || field.starts_with("totals.");
            let one_version = command != "ls" && field.starts_with("version.expire");
            assert!(
                told.split(" or ").all(found)
                    || ((one_version || by_engine) && told.split(" or ").any(found)),
                "{command}: {field} as {told} does not occur"
            );
        }
    }
}

#[test]
fn fields_that_f_omits_are_missing_and_r_keeps_numbers() {
    let install = install();
    install.backup(&[&install.image("x.img", &noise(1, 8192)), "vm|1"]);
    let out = install.ok(&["--json", "-r", "-m", "-s", "ls", "-f", "size_bytes,name"]);
    assert_eq!(out, "{\"versions\":[{\"name\":\"vm|1\",\"size_bytes\":8192}]}\n");
    let out = install.ok(&["--json", "-r", "stats", "-f", "bytes read"]);
    assert_eq!(out, "{\"stats\":[{\"bytes_read\":8192}]}\n");
    for (args, empty) in [
        (&["ls", "nosuch"][..], "{\"versions\":[]}\n"),
        (&["stats", "nosuch"], "{\"stats\":[]}\n"),
        (&["sla", "-s", "daily", "-f", "name", "x"], "{\"breaches\":[{\"name\":\"x\"}]}\n"),
    ] {
        assert_eq!(install.ok(&[&["--json"], args].concat()), empty);
    }
    let empty = install.backup(&[&install.image("empty", b""), "e"]);
    assert_eq!(install.ok(&["--json", "diff-meta", &empty, &empty]), "{\"blocks\":[]}\n");
}

#[test]
fn commands_without_a_result_print_nothing() {
    let install = install();
    let uid = install.backup(&[&install.image("x.img", &noise(1, 8192)), "vm"]);
    for args in [
        &["protect", &uid][..],
        &["unprotect", &uid],
        &["add-tag", &uid, "x"],
        &["remove-tag", &uid, "x"],
        &["expire", &uid, ""],
        &["export", &uid, "x.csv"],
    ] {
        assert_eq!(install.ok(&[&["--json"], args].concat()), "", "{args:?}");
    }
}

#[test]
fn every_error_is_a_document_with_the_exit_code() {
    let install = install();
    let is_error = |run: Run, code: i32, word: &str| {
        assert_eq!(run.code, code, "{run:?}");
        let value = document(&run);
        assert_eq!(value["exit_code"], code, "{run:?}");
        let text = value["error"].as_str().expect("a text");
        assert!(text.contains(word), "{text}");
        assert_eq!(value.as_object().map(|object| object.len()), Some(2));
    };
    for (code, args, word) in [
        (100, &["rm", "nosuch"][..], "nosuch"),
        (100, &["ls", "-f", "x"], "'x'"),
        (100, &["export", "nosuch", "-"], "nosuch"),
        (1, &["expire", "x", "never"], "never"),
        (23, &["import", "backy.cfg"], "line 1"),
        (2, &["ls", "--wrong"], "--wrong"),
        (2, &["nosuch"], "nosuch"),
        (2, &["rm"], "VERSION_UID"),
        (1, &[], "No command"),
    ] {
        is_error(install.run(&[&["--json"], args].concat()), code, word);
        is_error(install.run(&[&["-r", "--js", "-m"], args].concat()), code, word);
    }
    install.lose_database();
    is_error(install.run(&["--json", "ls"]), 1, "initdb");
    install.set("block_size", "many");
    is_error(install.run(&["--json", "ls"]), 1, "block_size");
    std::fs::remove_file(install.path("backy.cfg")).expect("removed");
    is_error(install.run(&["--json", "ls"]), 1, "backy.cfg");
}

/// Root can change any folder, so a folder in the place of the blob's file makes its deletion fail.
#[test]
fn a_cleanup_that_fails_in_part_is_one_document() {
    let install = install();
    let uid = install.backup(&[&install.image("x.img", &noise(1, 8192)), "vm"]);
    let path = install.blob(&install.blob_uid(&uid, 0));
    install.ok(&["rm", "-f", &uid]);
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir_all(path.join("x")).expect("made");
    let run = install.run(&["--json", "cleanup", "--dangerous-force"]);
    assert_eq!((run.code, &document(&run)["exit_code"]), (100, &100.into()), "{run:?}");
}

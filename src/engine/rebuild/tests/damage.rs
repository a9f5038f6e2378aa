//! Objects are damaged, exchanged or old; settings and keys are wrong.

use super::*;
use crate::engine::scrub;
use crate::types::hex::to_hex;
use crate::types::settings::MasterKey;
use std::collections::BTreeMap;

/// What is left of a view without some versions, and with some of them invalid.
fn left(
    view: &View,
    without: &[VersionUid],
    invalid: &[VersionUid],
) -> BTreeMap<String, (Version, Vec<PastRun>)> {
    let versions = view.versions.iter().filter(|version| !without.contains(&version.uid));
    let with_runs = versions.map(|version| {
        let valid = version.valid && !invalid.contains(&version.uid);
        let runs = view.runs.iter().filter(|run| run.version_uid == version.uid).cloned().collect();
        (version.uid.to_string(), (Version { valid, ..version.clone() }, runs))
    });
    with_runs.collect()
}

fn names(skipped: &[Skipped]) -> Vec<String> {
    let mut names: Vec<String> = skipped.iter().map(|skipped| skipped.object.clone()).collect();
    names.sort();
    names
}

/// Rebuilds with damaged objects. The versions `gone` do not come back, those that name blobs of a damaged list are
/// invalid, and everything else is as before.
fn rebuild_damaged(bench: &Bench, before: &View, damaged: &[&str], what: &str) {
    bench.lose_database();
    let rebuilt = bench.rebuild().unwrap_or_else(|error| panic!("{what}: {}", error.line()));
    let mut expected: Vec<String> = damaged.iter().map(|name| (*name).to_owned()).collect();
    expected.sort();
    assert_eq!(names(&rebuilt.skipped), expected, "{what}");
    let gone: Vec<VersionUid> =
        damaged.iter().filter_map(|name| name.strip_prefix("versions/")).map(VersionUid::from).collect();
    let invalid: Vec<VersionUid> = rebuilt.invalid.iter().map(|invalid| invalid.uid.clone()).collect();
    let hits_list = damaged.iter().any(|name| name.starts_with("index/"));
    assert_eq!(hits_list, !invalid.is_empty(), "{what}");
    assert!(rebuilt.invalid.iter().all(|invalid| invalid.loss == Loss::Unlisted), "{what}");
    let after = bench.view();
    assert_eq!(left(&after, &[], &[]), left(before, &gone, &invalid), "{what}");
    for (version, rows) in after.versions.iter().zip(&after.rows) {
        let at = before.versions.iter().position(|other| other.uid == version.uid).expect("it was there");
        if version.valid {
            assert_eq!(rows, &before.rows[at], "{what}");
        } else {
            assert!(rows.iter().all(|row| before.rows[at].contains(row)), "{what}");
        }
    }
    if !gone.is_empty() {
        assert_eq!(rebuilt.unnamed, 0, "{what}: a version that cannot be read may need these");
    }
}

#[test]
fn a_damaged_object_is_named_and_the_rest_comes_back() {
    let bench = Bench::new();
    bench.history();
    let before = bench.view();
    let objects = bench.objects();
    let other = Bench::new();
    other.history();
    let foreign = fs::read(other.object(&other.objects()[0])).expect("read");
    assert!(objects.len() >= 6, "{objects:?}");
    for (n, name) in objects.iter().enumerate() {
        let file = bench.object(name);
        let good = fs::read(&file).expect("read");
        let swapped = bench.object(&objects[(n + 1) % objects.len()]);
        let mut flipped = good.clone();
        let at = fastrand::usize(..flipped.len());
        flipped[at] ^= 1 << fastrand::u32(..8);
        let cases = [
            ("empty", Vec::new()),
            ("truncated", good[..good.len() / 2].to_vec()),
            ("with a bit flipped", flipped),
            ("longer", [&good[..], b"x"].concat()),
            ("of another name", fs::read(swapped).expect("read")),
            ("of another store", foreign.clone()),
        ];
        for (how, data) in cases {
            fs::write(&file, data).expect("written");
            rebuild_damaged(&bench, &before, &[name], &format!("{name} {how} (byte {at})"));
        }
        fs::write(&file, &good).expect("written");
    }
    bench.lose_database();
    bench.rebuild().expect("rebuilt");
    assert_eq!(bench.view(), before, "with all objects as they were");
    // Objects of another store beside the right ones.
    for (n, name) in other.objects().iter().enumerate() {
        let (folder, last) = name.split_once('/').expect("a folder");
        let strange = format!("{folder}/{last}");
        fs::copy(other.object(name), bench.object(&strange)).expect("copied");
        bench.lose_database();
        let rebuilt = bench.rebuild().expect("rebuilt");
        assert_eq!(rebuilt.skipped.len(), n + 1);
        assert_eq!(bench.view(), before);
    }
}

#[test]
fn a_version_that_has_lost_a_list_keeps_its_object() {
    let bench = Bench::new();
    let uids = bench.history();
    let before = bench.view();
    let list = bench.objects().into_iter().find(|name| name.starts_with("index/")).expect("a list");
    let good = fs::read(bench.object(&list)).expect("read");
    fs::write(bench.object(&list), "damaged").expect("written");
    bench.lose_database();
    assert!(bench.rebuild().expect("rebuilt").invalid.iter().any(|invalid| invalid.uid == uids[0]));
    schedule::add_tags(&mut bench.site(Access::Write), uids[0].as_str(), &["late".to_owned()])
        .expect("tagged");
    fs::write(bench.object(&list), &good).expect("written");
    bench.lose_database();
    assert_eq!(bench.rebuild().expect("rebuilt").invalid, []);
    let after = bench.view();
    assert_eq!(after.rows, before.rows);
    let version = after.versions.iter().find(|version| version.uid == uids[0]).expect("there");
    assert!(version.valid && version.tags.contains(&"late".to_owned()), "{version:?}");

    // If its blocks are removed, nothing is lost that the object should describe.
    let object = bench.object(&format!("versions/{}", uids[0]));
    let mut site = bench.site(Access::Remove);
    site.meta.mark_version_invalid(version).expect("marked");
    assert_eq!(site.meta.remove_blocks(version, 2, 0).expect("removed"), 2);
    drop(site);
    assert!(object.exists());
    cleanup::fast(&mut bench.site(Access::Clean), Grace::Respected).expect("cleaned");
    assert!(!object.exists(), "no blob may be deleted before");
}

#[test]
fn old_states_of_objects_are_taken_or_named() {
    let bench = Bench::new();
    let uids = bench.history();
    let version = format!("versions/{}", uids[1]);
    let old = fs::read(bench.object(&version)).expect("read");
    schedule::add_tags(&mut bench.site(Access::Write), uids[1].as_str(), &["later".to_owned()])
        .expect("tagged");
    let before = bench.view();
    let new = fs::read(bench.object(&version)).expect("read");
    // A state that fits the blobs cannot be told from the present one.
    fs::write(bench.object(&version), &old).expect("written");
    let checked = check(&mut bench.site(Access::Catalogue)).expect("checked");
    assert_eq!(checked.differences.len(), 1);
    let Difference { what, why } = &checked.differences[0];
    assert!(*what == version && why.ends_with(": tags"), "{what} {why}");
    bench.lose_database();
    assert_eq!(bench.rebuild().expect("rebuilt").invalid, []);
    let tags = |view: View| view.versions.into_iter().find(|v| v.uid == uids[1]).expect("there").tags;
    assert!(!tags(bench.view()).contains(&"later".to_owned()));
    fs::write(bench.object(&version), &new).expect("written");

    // The object of a version that was removed, and whose blobs are deleted.
    bench.lose_database();
    bench.rebuild().expect("rebuilt");
    remove::run(&mut bench.site(Access::Remove), uids[1].as_str(), AgeLimit::Ignore).expect("removed");
    cleanup::fast(&mut bench.site(Access::Clean), Grace::Waived).expect("cleaned");
    fs::write(bench.object(&version), &new).expect("written");
    bench.lose_database();
    let rebuilt = bench.rebuild().expect("rebuilt");
    let [Invalid { uid, loss, .. }] = &rebuilt.invalid[..] else { panic!("{:?}", rebuilt.invalid) };
    // The cleanup has deleted the list of its blobs as well.
    assert_eq!((uid, *loss), (&uids[1], Loss::Unlisted));
    let others = |view: &View| left(view, &uids[1..2], &[]);
    assert_eq!(others(&bench.view()), others(&before));
}

#[test]
fn a_missing_blob_makes_its_versions_invalid_until_it_is_back() {
    let bench = Bench::new();
    let uids = bench.history();
    let before = bench.view();
    // The second block of both versions of vm.
    let blob =
        before.rows.iter().flatten().find(|row| row.id == 1 && row.size == BLOCK as u64).expect("a row");
    let uid = blob.uid.clone().expect("a blob");
    let found = walk(&bench.home.join("data"))
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(uid.as_str())));
    let path = found.expect("its file");
    let aside = bench.home.join("aside");
    fs::rename(&path, &aside).expect("moved");
    bench.lose_database();
    let rebuilt = bench.rebuild().expect("rebuilt");
    let named: Vec<&VersionUid> = (before.versions.iter().zip(&before.rows))
        .filter(|(_, rows)| rows.iter().any(|row| row.uid.as_ref() == Some(&uid)))
        .map(|(version, _)| &version.uid)
        .collect();
    let invalid: Vec<&VersionUid> = rebuilt.invalid.iter().map(|invalid| &invalid.uid).collect();
    assert_eq!((invalid, rebuilt.missing), (named.clone(), 1));
    fs::rename(&aside, &path).expect("moved");
    let options = scrub::Options { version: named[0].as_str(), source: None, percentile: 100 };
    scrub::run(&mut bench.site(Access::Write), &options).expect("scrubbed");
    assert_eq!(bench.view(), before, "one scrub heals all of them");
    assert!(uids.len() > 2);
}

fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("read").map(|entry| entry.expect("read").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn forged_and_contradictory_objects_do_no_harm() {
    let bench = Bench::new();
    let uids = bench.history();
    let before = bench.view();
    let vault = Vault::open(&bench.config, &Silent).expect("opened");
    let name = ObjectName::version(&uids[0]).expect("plain");
    let good = fs::read(bench.object(&name.to_string())).expect("read");
    let copied = vault.load(&name, &survey::decode_version).expect("read").expect("good");
    let put = |change: &dyn Fn(&mut CopiedVersion)| {
        let mut copied = copied.clone();
        change(&mut copied);
        bench.put(&name, &copied.encode());
    };
    // Two blocks exchanged.
    put(&|copied| {
        let blocks: Vec<_> = copied.blocks.blocks().collect();
        copied.blocks = Default::default();
        for (n, (block, _)) in blocks.iter().enumerate() {
            let from = [1, 0, 2, 3, 4, 5][n];
            copied.blocks.push(*block, blocks[from].1).expect("ascends");
        }
    });
    let loss = |expected: Loss| {
        bench.lose_database();
        let rebuilt = bench.rebuild().expect("rebuilt");
        let [Invalid { uid, loss, .. }] = &rebuilt.invalid[..] else { panic!("{:?}", rebuilt.invalid) };
        assert_eq!((uid, *loss), (&uids[0], expected));
    };
    loss(Loss::Other);
    put(&|copied| copied.version.size += 1);
    loss(Loss::Incomplete);
    // The row key of another version.
    put(&|copied| copied.version.key = before.versions[0].key);
    bench.lose_database();
    assert_eq!(bench.rebuild().expect("rebuilt").invalid, []);
    assert_eq!(bench.view().versions.len(), before.versions.len());
    // Another version's content.
    put(&|copied| copied.version.uid = uids[1].clone());
    bench.lose_database();
    assert_eq!(names(&bench.rebuild().expect("rebuilt").skipped), [name.to_string()]);
    fs::write(bench.object(&name.to_string()), good).expect("written");
}

impl Bench {
    /// Stores an object as backy2 would.
    fn put(&self, name: &ObjectName, plain: &[u8]) {
        let mut site = self.site(Access::Catalogue);
        let store = site.open_store(Use::Read).expect("opened");
        let row = site.meta.store().expect("read").expect("known");
        let key = row.envkey.map(|envkey| StoreKey::unwrap(&site.keys, &envkey).expect("opens"));
        let sealer = Sealer::new(Uuid::parse_str(&row.uuid).expect("a UUID"), key.as_ref()).expect("made");
        store.put_object(name, &sealer.seal(name, plain).expect("sealed")).expect("put");
    }

    /// The line of the error of a rebuild. The database is still as it was.
    fn refusal(&self, config: &Config) -> String {
        let before = fs::read(self.database()).ok();
        let error = run(config, &Silent).expect_err("refused");
        assert_eq!(fs::read(self.database()).ok(), before, "{}", error.line());
        error.line()
    }
}

#[test]
fn what_cannot_be_rebuilt_is_refused_before_anything_is_made() {
    let bench = Bench::new();
    assert!(bench.refusal(&bench.config).contains("has no backy2.store"));
    bench.history();
    assert!(bench.refusal(&bench.config).contains("is not empty: it has rows in versions"));
    bench.lose_database();
    let refused = |change: &dyn Fn(&mut Config), why: &str| {
        let mut config = bench.config.clone();
        change(&mut config);
        let line = bench.refusal(&config);
        assert!(line.contains(why), "{line}");
    };
    let key = MasterKey::from_hex(&to_hex(&[7; 32]));
    refused(&|config| config.encryption_key = key.clone(), "does not open the key of the data store");
    refused(&|config| config.encryption_key = None, "is encrypted, and no encryption_key is configured");
    refused(&|config| config.block_size *= 2, "block_size: 4096");
    refused(&|config| config.hash_function = crate::types::settings::HashFunction::Blake3, "hash_function");

    let identity = bench.object("backy2.store");
    let good = fs::read_to_string(&identity).expect("read");
    let with = |text: &str, why: &str| {
        fs::write(&identity, text).expect("written");
        let line = bench.refusal(&bench.config);
        assert!(line.contains(why), "{line}");
    };
    with(&good.replace("\"plain\":false", "\"plain\":true"), "was changed, and not by backy2");
    let uuid = good.split("\"uuid\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a UUID");
    with(&format!("{{\"format\":1,\"uuid\":\"{uuid}\"}}"), "has no key");
    with("{", "is damaged");
    fs::remove_file(&identity).expect("removed");
    assert!(bench.refusal(&bench.config).contains("has no backy2.store"));
    fs::write(&identity, &good).expect("written");
    for folder in ["index", "versions"] {
        fs::rename(bench.object(folder), bench.home.join(folder)).expect("moved");
    }
    assert!(bench.refusal(&bench.config).contains("no copies of metadata"));
}

//! The rules that every metadata engine must keep. Each engine's tests run all of [`CASES`].

mod copies;
mod given;
mod rebuild;
mod status;

use crate::meta::*;
use crate::types::block::Geometry;
use crate::types::error::Error;
use crate::types::keys::EntryId;
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use crate::types::version::{Count, ImageId, NewVersion, SnapshotOrigin, Version};
use given::*;

/// A test on an empty database.
pub type Case = fn(&mut Metadata);

/// The suite: a name and a test on an empty database.
pub const CASES: &[(&str, Case)] = &[
    ("catalogue", catalogue),
    ("carry_takes_only_valid_rows_in_the_ranges", carry),
    ("sparse_blocks_have_the_length_of_their_block", sparse),
    ("rule 1: ids of blobs are never reused", ids_are_not_reused),
    ("rule 1: a hit that went away or bad is rejected", stale_hits_are_rejected),
    ("rule 1: a blob that no block names is never a hit", unnamed_blobs_are_no_hits),
    ("rule 2: a blob and its first row come together or not at all", blob_and_row_come_together),
    ("rule 3: a version becomes valid only when it is whole", finish_checks),
    ("rule 4: rm lists what nothing else names", rm_lists_unnamed),
    ("rule 4: a removal in pieces lists the same", removal_in_pieces),
    ("rule 4: the hour of grace counts from the newest entry", grace),
    ("rule 5: cleanup forgets what is in use and dooms the rest", cleanup),
    ("rule 5: a killed cleanup goes on", cleanup_goes_on),
    ("marks", marks),
    ("rule 3: a good blob heals what only it had made invalid", heals),
    ("full cleanup", full_cleanup),
    ("origins of versions, and snapshots that were made", origins),
    ("the store that belongs to the database", stores),
    ("a sound database has nothing to report", sound),
    ("blobs are listed by uid and by row, page by page", blobs_by_pages),
    ("copies of versions are due when these change", copies::changes_are_due),
    ("a due copy is settled only if nothing has changed since", copies::settling),
    ("a finished version settles its own copy", copies::finishing),
    ("the content of a version", copies::content),
    ("the sum of a version's rows", copies::sums),
    ("lists cover blobs", copies::covering),
    ("lists that are not needed, and lists with gaps", copies::lists_go),
    ("nothing in the store can be relied on", copies::forgetting),
    ("the overview counts bad blobs, deletions and runs", status::overview),
    ("verifications are recorded and go with their version", status::verifications),
    ("a database is filled from copies", rebuild::filling),
    ("a filling that fails leaves nothing", rebuild::a_filling_that_fails_leaves_nothing),
];

mod soundness;

use soundness::{blobs_by_pages, sound};

fn stores(meta: &mut Metadata) {
    assert_eq!(meta.store().expect("reads"), None);
    let row = |uuid: &str, envkey: Option<&str>, made| {
        Some(StoreRow { uuid: uuid.into(), envkey: envkey.map(str::to_owned), made })
    };
    assert_eq!(meta.begin_store("a", None).expect("begins"), row("a", None, false));
    assert_eq!(meta.begin_store("b", Some("k")).expect("the first one counts"), row("a", None, false));
    assert_eq!(meta.remember_store("a", None).expect("records"), row("a", None, true));
    assert_eq!(meta.remember_store("b", None).expect("the first one counts"), row("a", None, true));
    assert_eq!(meta.begin_store("c", None).expect("the first one counts"), row("a", None, true));
    assert_eq!(meta.set_store_key("key").expect("records"), row("a", Some("key"), true));
    assert_eq!(meta.set_store_key("other").expect("the first one counts"), row("a", Some("key"), true));
    assert_eq!(meta.store().expect("reads"), row("a", Some("key"), true));

    assert!(meta.sample_of_store(16).expect("reads").is_empty() && !meta.has_plain_blobs().expect("reads"));
    let data: Vec<u32> = (0..40).collect();
    let (version, blobs) = version_of(meta, "a", &data);
    let sample = meta.sample_of_store(16).expect("reads");
    assert!((8..=16).contains(&sample.len()), "{sample:?}");
    assert!(meta.has_plain_blobs().expect("reads"));
    assert_eq!(sample[0].uid, blobs[39].uid, "the newest is among them");
    meta.remove_version(&version, 1).expect("removes");
    meta.take_delete_candidates(EntryId::START, ALWAYS, 100).expect("takes");
    assert_eq!(meta.sample_of_store(16).expect("reads").len(), 16, "those that wait for their deletion");
}

const ALWAYS: i64 = i64::MAX;

fn catalogue(meta: &mut Metadata) {
    assert!(matches!(meta.version(&"nosuch".into()), Err(Error::VersionNotFound(_))));
    let b = begin(meta, "b", 0);
    let a = begin(meta, "a", 0);
    let names = |meta: &mut Metadata, filter: &VersionFilter| -> Vec<String> {
        meta.versions(filter).expect("lists").versions.into_iter().map(|v| v.name).collect()
    };
    assert_eq!(names(meta, &VersionFilter::default()), ["a", "b"]);
    assert_eq!(names(meta, &VersionFilter { name: Some("b".into()), ..Default::default() }), ["b"]);
    assert_eq!(names(meta, &VersionFilter { tag: Some("nosuch".into()), ..Default::default() }), [""; 0]);
    let expired = VersionFilter { expired_at: Some(Timestamp::now()), ..Default::default() };
    assert_eq!(names(meta, &expired), [""; 0]);
    meta.add_tags(&a, &["z".into(), "t".into(), "c,d".into()]).expect("tags");
    // The engine decides their order.
    let mut tags = meta.version(&a.uid).expect("there").tags;
    tags.sort();
    assert_eq!(tags, ["c,d", "t", "z"]);
    meta.set_protected(&a, true).expect("protects");
    assert!(meta.version(&a.uid).expect("there").protected);
    assert!(!b.valid && !b.protected);
    let last = meta.last_tagged("a", "t", a.date).expect("looks up");
    assert_eq!(last.map(|t| t.to_database()), Some(a.date.to_database()));
    let before = a.date.after(chrono::TimeDelta::microseconds(-1));
    assert_eq!(meta.last_tagged("a", "t", before).expect("looks up"), None, "later dates do not count");
    assert_eq!(meta.last_tagged("a", "y", a.date).expect("looks up"), None);
}

fn carry(meta: &mut Metadata) {
    let (base, blobs) = version_of(meta, "x", &[1, 2, 3, 4]);
    let spoiled = rows(meta, &base)[2].blob.clone().expect("a blob");
    meta.mark_blobs_invalid(&[spoiled]).expect("marks");
    assert_eq!(meta.unusable(&base).expect("asks"), [2..3]);
    let next = begin(meta, "x", 6);
    let carried = meta.carry(&base, &next, &[0..1, 2..9].into()).expect("carries");
    assert_eq!(carried, Carried { blocks: 2, sparse: Count::default() });
    let got: Vec<_> = rows(meta, &next).into_iter().map(|r| (r.id, r.blob.map(|b| b.uid))).collect();
    assert_eq!(got, [(0, Some(blobs[0].uid.clone())), (3, Some(blobs[3].uid.clone()))]);
    assert_eq!(meta.missing(&next).expect("asks"), [1..3, 4..6]);
    assert_eq!(meta.unusable(&next).expect("asks"), [1..3, 4..6]);
}

fn sparse(meta: &mut Metadata) {
    let geometry = Geometry::new(4 * u64::from(BLOCK) + 10, BLOCK);
    let version = begin(meta, "x", 5);
    meta.set_sparse(&version, geometry, &[0..2, 3..5].into()).expect("records");
    store(meta, &version, &[2], 7);
    assert_eq!(meta.sparse_ranges(&version, 0).expect("reads"), [0..2, 3..5]);
    assert_eq!(meta.sparse_ranges(&version, 4).expect("reads"), [4..5]);
    assert_eq!(rows(meta, &version).iter().filter(|r| r.blob.is_none()).count(), 4);
    assert_eq!(meta.rows(&version, 0, 9, Rows::Stored).expect("reads").len(), 1);
    let next = begin(meta, "x", 5);
    let carried = meta.carry(&version, &next, &[0..5].into()).expect("carries");
    assert_eq!(carried.sparse, Count { blocks: 4, bytes: 3 * u64::from(BLOCK) + 10 });
    assert_eq!(meta.first_block_size(Some(&next)).expect("asks"), Some((next.uid, u64::from(BLOCK))));
}

fn ids_are_not_reused(meta: &mut Metadata) {
    let (old, _) = version_of(meta, "x", &[1]);
    let before = known(meta, 1).expect("a hit");
    meta.remove_version(&old, 0).expect("removes");
    meta.take_delete_candidates(EntryId::START, ALWAYS, 10).expect("takes");
    version_of(meta, "y", &[1]);
    assert!(known(meta, 1).expect("a hit").id > before.id, "a late reference must not meet another blob");
}

fn stale_hits_are_rejected(meta: &mut Metadata) {
    let (old, _) = version_of(meta, "x", &[1, 2, 3]);
    let (one, two, three) = (known(meta, 1), known(meta, 2), known(meta, 3));
    let (one, two, three) = (one.expect("hit"), two.expect("hit"), three.expect("hit"));
    let next = begin(meta, "y", 4);
    assert_eq!(reuse(meta, &next, 0, &one), [0u64; 0], "an existing blob is reused");
    let renamed = Known { uid: BlobUid::generate(), ..two.clone() };
    assert_eq!(reuse(meta, &next, 1, &renamed), [1], "another name is another blob");
    let spoiled = rows(meta, &old)[1].blob.clone().expect("a blob");
    meta.mark_blobs_invalid(&[spoiled]).expect("marks");
    assert_eq!(reuse(meta, &next, 1, &two), [1], "gone bad");
    meta.remove_version(&old, 0).expect("removes");
    assert_eq!(reuse(meta, &next, 2, &three), [2], "nothing names it any more");
    meta.take_delete_candidates(EntryId::START, ALWAYS, 10).expect("takes");
    assert_eq!(reuse(meta, &next, 2, &three), [2], "gone");
    assert_eq!(reuse(meta, &next, 3, &one), [0u64; 0], "a blob that a block names stays a hit");
}

fn unnamed_blobs_are_no_hits(meta: &mut Metadata) {
    let (version, _) = version_of(meta, "x", &[1]);
    assert!(known(meta, 1).is_some());
    assert_eq!(known(meta, 2), None);
    let other = Fingerprint { enc_version: 1, ..fingerprint(1) };
    assert_eq!(meta.find_known(&[other]).expect("looks up"), [None]);
    let shorter = Fingerprint { size: 9, ..fingerprint(1) };
    assert_eq!(meta.find_known(&[shorter]).expect("looks up"), [None]);
    meta.remove_version(&version, 0).expect("removes");
    assert_eq!(known(meta, 1), None, "its row is still there, its data perhaps not");
}

fn blob_and_row_come_together(meta: &mut Metadata) {
    let version = begin(meta, "x", 2);
    let blob = new_blob(1);
    // The second row is for a block that already has one, so the whole batch must be rejected.
    let rows = [NewRow::Sparse { id: 0, size: 4096 }, NewRow::Store { ids: vec![1, 0], blob: blob.clone() }];
    assert!(meta.commit_blocks(&version, &rows).is_err());
    assert_eq!(meta.without_row(std::slice::from_ref(&blob.uid)).expect("asks"), [blob.uid]);
    assert_eq!(meta.missing(&version).expect("asks"), [0..2]);
}

fn finish_checks(meta: &mut Metadata) {
    let version = begin(meta, "x", 3);
    store(meta, &version, &[0, 2], 1);
    assert_eq!(finish(meta, &version), Finish::Missing([1..2].into()));
    assert!(!meta.version(&version.uid).expect("there").valid);
    store(meta, &version, &[1], 2);
    let spoiled = rows(meta, &version)[0].blob.clone().expect("a blob");
    meta.mark_blobs_invalid(std::slice::from_ref(&spoiled)).expect("marks");
    assert_eq!(finish(meta, &version), Finish::Missing([0..1, 2..3].into()));
    assert!(!meta.version(&version.uid).expect("there").valid);
    // The bad blob has lost its last row, so its data must be deleted.
    assert_eq!(meta.take_delete_candidates(EntryId::START, ALWAYS, 10).expect("takes").doomed, [spoiled.uid]);
    store(meta, &version, &[0, 2], 1);
    assert_eq!(finish(meta, &version), Finish::Valid);
    assert!(meta.version(&version.uid).expect("there").valid);
}

fn rm_lists_unnamed(meta: &mut Metadata) {
    let (first, blobs) = version_of(meta, "x", &[1, 2]);
    let second = begin(meta, "y", 1);
    let two = known(meta, 2).expect("a hit");
    reuse(meta, &second, 0, &two);
    assert_eq!(finish(meta, &second), Finish::Valid);
    assert_eq!(meta.remove_version(&first, 5).expect("removes"), 2);
    assert!(matches!(meta.version(&first.uid), Err(Error::VersionNotFound(_))));
    let taken = meta.take_delete_candidates(EntryId::START, ALWAYS, 10).expect("takes");
    assert_eq!(taken.doomed, uids(&blobs[..1]), "the other one is still named");
    assert!(known(meta, 2).is_some());
    meta.remove_version(&second, 6).expect("removes");
    let taken = meta.take_delete_candidates(EntryId::START, ALWAYS, 10).expect("takes");
    assert_eq!(taken.doomed, uids(&blobs[1..]));
}

fn removal_in_pieces(meta: &mut Metadata) {
    let (first, blobs) = version_of(meta, "x", &[1, 2, 3, 4, 5]);
    let second = begin(meta, "y", 1);
    let three = known(meta, 3).expect("a hit");
    reuse(meta, &second, 0, &three);
    assert_eq!(finish(meta, &second), Finish::Valid);
    meta.mark_version_invalid(&first).expect("marks");
    for (removed, left) in [(2, 3), (2, 1), (1, 0), (0, 0)] {
        assert_eq!(meta.remove_blocks(&first, 2, 5).expect("removes"), removed);
        assert_eq!(rows(meta, &first).len(), left);
    }
    assert_eq!(meta.remove_version(&first, 5).expect("removes"), 0);
    // A time in the future becomes now; others stay.
    assert_eq!(meta.restamp_deleted(3, 5).expect("nothing to do"), 0);
    assert_eq!(meta.restamp_deleted(3, 4).expect("corrects"), 4);
    assert_eq!(meta.take_delete_candidates(EntryId::START, 3, 10).expect("takes"), Candidates::default());
    let taken = meta.take_delete_candidates(EntryId::START, 4, 10).expect("takes");
    let mut wanted = uids(&[&blobs[..2], &blobs[3..]].concat());
    wanted.sort();
    assert_eq!(taken.doomed, wanted, "all except the blob of the other version");
}

fn grace(meta: &mut Metadata) {
    let (first, blobs) = version_of(meta, "x", &[1]);
    let second = begin(meta, "y", 1);
    let hit = known(meta, 1).expect("a hit");
    meta.remove_version(&first, 100).expect("removes");
    let young = meta.take_delete_candidates(EntryId::START, 100, 10).expect("takes");
    assert_eq!(young, Candidates::default(), "an entry of the same second is not older");
    // The row is rejected now. If it had been committed before, a second rm would refresh the entry.
    assert_eq!(reuse(meta, &second, 0, &hit), [0]);
    let (third, _) = version_of(meta, "z", &[9]);
    meta.remove_version(&third, 200).expect("removes");
    let taken = meta.take_delete_candidates(EntryId::START, 150, 10).expect("takes");
    assert_eq!(taken.doomed, uids(&blobs), "only the old entry");
}

fn cleanup(meta: &mut Metadata) {
    let (first, blobs) = version_of(meta, "x", &[1, 2, 3]);
    meta.remove_version(&first, 0).expect("removes");
    let batch = meta.take_delete_candidates(EntryId::START, ALWAYS, 2).expect("takes");
    assert_eq!(batch.doomed.len(), 2);
    let next = batch.next.expect("there is more");
    let rest = meta.take_delete_candidates(next, ALWAYS, 2).expect("takes");
    assert_eq!((rest.doomed.len(), rest.next), (1, None));
    let mut all = [batch.doomed, rest.doomed].concat();
    all.sort();
    assert_eq!(all, uids(&blobs));
    assert_eq!(meta.without_row(&all).expect("asks"), all, "their rows went in the same transaction");
    meta.forget_deleted(&all).expect("forgets");
    assert!(meta.doomed(None, 10).expect("asks").is_empty());
}

fn cleanup_goes_on(meta: &mut Metadata) {
    let (first, blobs) = version_of(meta, "x", &[1]);
    meta.remove_version(&first, 0).expect("removes");
    meta.take_delete_candidates(EntryId::START, ALWAYS, 10).expect("takes");
    // The cleanup is killed here. The next run finds the doomed blobs, and the candidates do not list them again.
    assert_eq!(meta.doomed(None, 10).expect("asks"), uids(&blobs));
    assert_eq!(
        meta.take_delete_candidates(EntryId::START, ALWAYS, 10).expect("takes"),
        Candidates::default()
    );
    assert_eq!(meta.doomed(None, 10).expect("asks"), uids(&blobs));
}

fn marks(meta: &mut Metadata) {
    let (first, _) = version_of(meta, "x", &[1, 2]);
    let second = begin(meta, "y", 1);
    let one = known(meta, 1).expect("a hit");
    reuse(meta, &second, 0, &one);
    assert_eq!(finish(meta, &second), Finish::Valid);
    let (third, _) = version_of(meta, "z", &[3]);
    let blob = rows(meta, &first)[0].blob.clone().expect("a blob");
    let id = blob.id;
    let mut affected = meta.mark_blobs_invalid(&[blob]).expect("marks");
    affected.sort();
    let mut want = vec![first.uid.clone(), second.uid.clone()];
    want.sort();
    assert_eq!(affected, want);
    let mut valid = |version: &Version| meta.version(&version.uid).expect("there").valid;
    assert_eq!((valid(&first), valid(&second), valid(&third)), (false, false, true));
    assert_eq!(known(meta, 1), None, "a bad blob is never a hit");
    let scrubbed = meta.mark_version_valid(&first, &[]).expect("marks");
    assert_eq!(scrubbed, Healed::default(), "a blob that was found bad since stays bad");
    assert_eq!((meta.version(&first.uid).expect("there").valid, known(meta, 1)), (false, None));
    let scrubbed = meta.mark_version_valid(&first, &[id]).expect("marks");
    assert_eq!(scrubbed, Healed { valid: true, others: vec![second.uid.clone()] });
    let mut valid = |version: &Version| meta.version(&version.uid).expect("there").valid;
    assert_eq!((valid(&first), valid(&second)), (true, true), "a good blob is good for all");
    assert!(known(meta, 1).is_some());
    meta.mark_version_invalid(&first).expect("marks");
    assert!(!meta.version(&first.uid).expect("there").valid);
    assert_eq!(meta.sample(None, None, 2).expect("samples").len(), 2);
    assert_eq!(meta.sample(Some(&third), Some(0), 9).expect("samples").len(), 1);
    assert_eq!(meta.sample(None, Some(1), 9).expect("samples"), []);
}

/// A version that reuses the blobs with `data`.
fn sharing(meta: &mut Metadata, name: &str, blocks: u64, data: &[u32]) -> Version {
    let version = begin(meta, name, blocks);
    for (id, data) in data.iter().enumerate() {
        let hit = known(meta, *data).expect("a hit");
        assert_eq!(reuse(meta, &version, id as u64, &hit), [0u64; 0]);
    }
    version
}

fn heals(meta: &mut Metadata) {
    let (first, _) = version_of(meta, "first", &[1]);
    let (other, _) = version_of(meta, "other", &[2]);
    let finished = |meta: &mut Metadata, name: &str, data: &[u32]| {
        let version = sharing(meta, name, data.len() as u64, data);
        assert_eq!(finish(meta, &version), Finish::Valid);
        version
    };
    let same = finished(meta, "same", &[1]);
    let both = finished(meta, "both", &[1, 2]);
    // The first is complete, but its run ended with an error. The second is being written. The third is marked for
    // another reason.
    let ended = sharing(meta, "ended", 1, &[1]);
    let begun = sharing(meta, "begun", 2, &[1]);
    let marked = finished(meta, "marked", &[1]);
    let removed = finished(meta, "removed", &[1]);
    let spoiled = |meta: &mut Metadata, version: &Version| {
        let blob = rows(meta, version)[0].blob.clone().expect("a blob");
        meta.mark_blobs_invalid(std::slice::from_ref(&blob)).expect("marks");
        blob.id
    };
    let (one, two) = (spoiled(meta, &first), spoiled(meta, &other));
    assert_eq!(spoiled(meta, &first), one, "a second process finds it as well");
    meta.mark_version_invalid(&marked).expect("marks");
    meta.remove_version(&removed, 0).expect("removes");

    let healed = meta.mark_version_valid(&first, &[one]).expect("marks");
    assert_eq!(healed, Healed { valid: true, others: vec![same.uid.clone()] });
    let mut valid = |version: &Version| meta.version(&version.uid).expect("there").valid;
    assert_eq!([&both, &ended, &begun, &marked].map(&mut valid), [false; 4]);
    let healed = meta.mark_version_valid(&other, &[two]).expect("marks");
    assert_eq!(healed, Healed { valid: true, others: vec![both.uid.clone()] });
    let mut valid = |version: &Version| meta.version(&version.uid).expect("there").valid;
    assert_eq!([&ended, &begun, &marked].map(&mut valid), [false; 3]);

    // A continued version has lost its rows of bad blobs. It gets new rows, and then it is valid.
    spoiled(meta, &first);
    assert_eq!(finish(meta, &same), Finish::Missing([0..1].into()));
    store(meta, &same, &[0], 7);
    let healed = meta.mark_version_valid(&first, &[one]).expect("marks");
    assert!(healed.valid && !healed.others.contains(&same.uid), "{healed:?}");
    assert_eq!(finish(meta, &same), Finish::Valid);
}

fn full_cleanup(meta: &mut Metadata) {
    let (first, gone) = version_of(meta, "x", &[1]);
    let (_, kept) = version_of(meta, "y", &[2]);
    meta.remove_version(&first, 0).expect("removes");
    assert_eq!(meta.drop_unnamed_blobs().expect("drops"), 1);
    let all = uids(&[gone.clone(), kept].concat());
    assert_eq!(meta.without_row(&all).expect("asks"), uids(&gone));
}

fn origins(meta: &mut Metadata) {
    let image = |name: &str| ImageId {
        cluster: "c".into(),
        pool: 3,
        namespace: String::new(),
        image: name.to_owned(),
    };
    let mut made = |name: &str, snapshot: u64| {
        let origin = SnapshotOrigin { image: image(name), snapshot, taken: 1 << 60 };
        let new = NewVersion { origin: Some(origin.clone()), ..new_version("vm", 0) };
        (meta.begin_version(&new).expect("begins"), origin)
    };
    let (first, second, other) = (made("i", 7), made("i", 8), made("j", 7));
    let without = begin(meta, "vm", 0);
    assert_eq!(meta.origin(&first.0).expect("asks"), Some(first.1.clone()));
    assert_eq!(meta.origin(&without).expect("asks"), None);
    assert_eq!(meta.versions_of(&image("i")).expect("lists"), [first.clone(), second.clone()]);
    assert_eq!(meta.versions_of(&other.1.image).expect("lists"), [other]);
    let elsewhere = ImageId { namespace: "n".into(), ..image("i") };
    assert_eq!(meta.versions_of(&elsewhere).expect("lists"), []);
    meta.remove_version(&first.0, 0).expect("removes");
    assert_eq!(meta.versions_of(&image("i")).expect("lists"), [second]);

    for name in ["b", "a", "b"] {
        meta.note_snapshot(&image("i"), name).expect("notes");
    }
    meta.note_snapshot(&elsewhere, "c").expect("notes");
    assert_eq!(meta.noted_snapshots(&image("i")).expect("lists"), ["a", "b"]);
    meta.forget_snapshot(&image("i"), "b").expect("forgets");
    meta.forget_snapshot(&image("i"), "c").expect("there is none");
    assert_eq!(meta.noted_snapshots(&image("i")).expect("lists"), ["a"]);
    assert_eq!(meta.noted_snapshots(&elsewhere).expect("lists"), ["c"]);
}

use super::super::initialise;
use super::*;

fn claimant(pid: u32) -> Claimant {
    let text = |text: &str| text.to_owned();
    Claimant { host: text("host"), machine: text("boot space"), pid, started: 7, command: text("backy2 [x]") }
}

fn wish<'w>(name: &'w str, exclusive: bool, by: &'w Claimant) -> Wish<'w> {
    Wish { name, exclusive, alone: false, global: "backy", by, wait: true }
}

fn database() -> (tempfile::TempDir, Claims, Claims) {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("backy.sqlite");
    initialise(&path, crate::types::settings::FileMode::PRIVATE).expect("initialises");
    let open = || Sqlite::open(&path).expect("opens").claims();
    (folder, open(), open())
}

fn granted(taken: Result<Taken>) -> i64 {
    match taken.expect("no error") {
        Taken::Granted(row) => row,
        other => panic!("not granted: {other:?}"),
    }
}

fn refused(taken: Result<Taken>) -> Claim {
    match taken.expect("no error") {
        Taken::Refused(claim) => claim,
        other => panic!("not refused: {other:?}"),
    }
}

const ALIVE: Gone<'static> = &|_| false;

#[test]
fn a_lock_is_exclusive_or_shared() {
    let (_folder, a, b) = database();
    let (one, two) = (claimant(1), claimant(2));
    let row = granted(a.take(&wish("uid", true, &one), ALIVE));
    assert_eq!(refused(b.take(&wish("uid", false, &two), ALIVE)).by, one);
    refused(a.take(&wish("uid", true, &one), ALIVE));
    granted(b.take(&wish("other", true, &two), ALIVE));
    a.release(row);
    let shared = [
        granted(a.take(&wish("uid", false, &one), ALIVE)),
        granted(b.take(&wish("uid", false, &two), ALIVE)),
    ];
    refused(b.take(&wish("uid", true, &two), ALIVE));
    assert_eq!(a.list(ALIVE).expect("listed").len(), 3);
    shared.into_iter().for_each(|row| a.release(row));
    granted(b.take(&wish("uid", true, &two), ALIVE));
}

#[test]
fn exclusive_use_excludes_all_other_processes() {
    let (_folder, a, b) = database();
    let (one, two) = (claimant(1), claimant(2));
    let other = granted(b.take(&wish("uid", false, &two), ALIVE));
    let own = granted(a.take(&wish("mine", true, &one), ALIVE));
    let alone = Wish { alone: true, ..wish("backy", true, &one) };
    assert_eq!(refused(a.take(&alone, ALIVE)).name, "uid");
    b.release(other);
    granted(a.take(&alone, ALIVE));
    assert_eq!(refused(b.take(&wish("uid", false, &two), ALIVE)).name, "backy");
    assert_eq!(b.holder_of("backy", ALIVE).expect("asked").expect("one").by, one);
    granted(a.take(&wish("more", true, &one), ALIVE));
    a.release(own);
}

#[test]
fn claims_of_dead_processes_are_ignored_and_removed() {
    let (_folder, a, b) = database();
    let (one, two) = (claimant(1), claimant(2));
    granted(a.take(&wish("uid", true, &one), ALIVE));
    let gone: Gone<'_> = &|claim| claim.by.pid == 1;
    assert!(b.list(gone).expect("listed").is_empty());
    assert_eq!(b.holder_of("uid", gone).expect("asked"), None);
    granted(b.take(&wish("uid", true, &two), gone));
    assert_eq!(a.list(ALIVE).expect("listed").len(), 1, "the other row is gone");
}

#[test]
fn a_claim_that_must_not_wait_sees_others_and_gets_no_row() {
    let (folder, a, b) = database();
    let (one, two) = (claimant(1), claimant(2));
    granted(a.take(&wish("uid", true, &one), ALIVE));
    let mut writer = Connection::open(folder.path().join("backy.sqlite")).expect("opens");
    let writing = writer.transaction_with_behavior(TransactionBehavior::Immediate).expect("begins");
    let hurried = |name| Wish { wait: false, ..wish(name, false, &two) };
    assert_eq!(b.take(&hurried("free"), ALIVE).expect("no error"), Taken::Unwritten);
    refused(b.take(&hurried("uid"), ALIVE));
    writing.commit().expect("commits");
    granted(b.take(&hurried("free"), ALIVE));
}

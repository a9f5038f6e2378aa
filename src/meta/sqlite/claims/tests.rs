use super::super::initialise;
use super::*;

fn claimant(pid: u32) -> Identity {
    let text = |text: &str| text.to_owned();
    Identity { host: text("host"), machine: text("boot space"), pid, started: 7, command: text("backy2 [x]") }
}

/// Takes a lock that must have a row.
fn take(claims: &Claims, name: &str, hold: Hold, by: &Identity) -> Result<Answer> {
    claims.take(&Wish { name, hold, by }, Record::Required, ALIVE)
}

fn database() -> (tempfile::TempDir, Claims, Claims) {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("backy.sqlite");
    initialise(&path, crate::types::settings::FileMode::PRIVATE).expect("initialises");
    let open = || Sqlite::open(&path).expect("opens").claims();
    (folder, open(), open())
}

fn granted(taken: Result<Answer>) -> i64 {
    match taken.expect("no error") {
        Answer::Granted(row) => row,
        other => panic!("not granted: {other:?}"),
    }
}

fn refused(taken: Result<Answer>) -> Claim {
    match taken.expect("no error") {
        Answer::Refused(claim) => claim,
        other => panic!("not refused: {other:?}"),
    }
}

const ALIVE: Gone<'static> = &|_| false;

#[test]
fn a_lock_is_exclusive_or_shared() {
    let (_folder, a, b) = database();
    let (one, two) = (claimant(1), claimant(2));
    let row = granted(take(&a, "uid", Hold::Exclusive, &one));
    assert_eq!(refused(take(&b, "uid", Hold::Shared, &two)).by, one);
    refused(take(&a, "uid", Hold::Exclusive, &one));
    granted(take(&b, "other", Hold::Exclusive, &two));
    a.release(row);
    let shared = [granted(take(&a, "uid", Hold::Shared, &one)), granted(take(&b, "uid", Hold::Shared, &two))];
    refused(take(&b, "uid", Hold::Exclusive, &two));
    assert_eq!(a.list(ALIVE).expect("listed").len(), 3);
    shared.into_iter().for_each(|row| a.release(row));
    granted(take(&b, "uid", Hold::Exclusive, &two));
}

#[test]
fn exclusive_use_excludes_all_other_processes() {
    let (_folder, a, b) = database();
    let (one, two) = (claimant(1), claimant(2));
    let other = granted(take(&b, "uid", Hold::Shared, &two));
    let own = granted(take(&a, "mine", Hold::Exclusive, &one));
    assert_eq!(refused(take(&a, GLOBAL, Hold::Sole, &one)).name, "uid");
    b.release(other);
    granted(take(&a, GLOBAL, Hold::Sole, &one));
    assert_eq!(refused(take(&b, "uid", Hold::Shared, &two)).name, GLOBAL);
    assert_eq!(b.holder_of(GLOBAL, ALIVE).expect("asked").expect("one").by, one);
    granted(take(&a, "more", Hold::Exclusive, &one));
    a.release(own);
}

#[test]
fn claims_of_dead_processes_are_ignored_and_removed() {
    let (_folder, a, b) = database();
    let (one, two) = (claimant(1), claimant(2));
    granted(take(&a, "uid", Hold::Exclusive, &one));
    let gone: Gone<'_> = &|claim| claim.by.pid == 1;
    assert!(b.list(gone).expect("listed").is_empty());
    assert_eq!(b.holder_of("uid", gone).expect("asked"), None);
    let wish = Wish { name: "uid", hold: Hold::Exclusive, by: &two };
    granted(b.take(&wish, Record::Required, gone));
    assert_eq!(a.list(ALIVE).expect("listed").len(), 1, "the other row is gone");
}

#[test]
fn a_claim_that_must_not_wait_sees_others_and_gets_no_row() {
    let (folder, a, b) = database();
    let (one, two) = (claimant(1), claimant(2));
    granted(take(&a, "uid", Hold::Exclusive, &one));
    let mut writer = Connection::open(folder.path().join("backy.sqlite")).expect("opens");
    let writing = writer.transaction_with_behavior(TransactionBehavior::Immediate).expect("begins");
    let hurried = |name| b.take(&Wish { name, hold: Hold::Shared, by: &two }, Record::Optional, ALIVE);
    assert_eq!(hurried("free").expect("no error"), Answer::Unwritten);
    refused(hurried("uid"));
    writing.commit().expect("commits");
    granted(hurried("free"));
}

//! Blobs that are bad once or always, in a store whose answers are planned.

use super::*;
use crate::store::Objects;
use crate::types::block::Encryption;
use crate::types::keys::BlobId;
use crate::types::settings::HashFunction;
use crate::types::uid::BlobUid;
use std::collections::VecDeque;
use std::sync::Mutex;

/// An answer of the store.
#[derive(Clone)]
enum Answer {
    Data(Vec<u8>),
    Missing,
    Unreadable,
    Store,
}

use Answer::{Data, Store as Fails, Unreadable};

/// Gives these answers in order, and records for each request whether it was a repetition.
struct Planned {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<bool>>,
    is_there: bool,
}

fn gone() -> Error {
    Error::Store { store: "test".into(), reason: "gone".into() }
}

impl Objects for Planned {}

impl BlobStore for Planned {
    fn location(&self) -> String {
        "test".into()
    }
    fn put(&self, _: &BlobUid, _: &[u8]) -> Result<()> {
        Err(gone())
    }
    fn get(&self, wanted: Wanted<'_>, data: &mut Vec<u8>) -> std::result::Result<bool, GetError> {
        data.clear();
        self.asked.lock().expect("fine").push(wanted.again);
        match self.answers.lock().expect("fine").pop_front().expect("not asked so often") {
            Data(found) => data.extend(found),
            Answer::Missing => return Ok(false),
            Unreadable => return Err(GetError::Unreadable("a bad sector".into())),
            Fails => return Err(GetError::Store(gone())),
        }
        Ok(true)
    }
    fn delete(&self, _: &[BlobUid]) -> Vec<(BlobUid, Error)> {
        Vec::new()
    }
    fn list(&self, _: &str, _: &mut dyn FnMut(&BlobUid) -> Result<()>) -> Result<()> {
        Err(gone())
    }
    fn sync(&self) -> Result<()> {
        Err(gone())
    }
    fn check(&self) -> Result<()> {
        if self.is_there { Ok(()) } else { Err(gone()) }
    }
}

/// Fetches a block of [`GOOD`] as a whole, and in two steps with digests of several blocks. Fails if the results
/// differ. Returns the damage, the data, the number of repeated reads, and the number of doubtful blobs.
fn fetched(answers: &[Answer], is_there: bool) -> (Result<Option<Damage>>, Vec<u8>, usize, u64) {
    let keys = Keyring::new(None);
    let hasher = Hasher::new(HashFunction::Sha512);
    let blob = Blob {
        id: BlobId(1),
        uid: "abcd".into(),
        checksum: Some(hasher.digest(GOOD).into()),
        size: GOOD.len() as i64,
        valid: true,
        encryption: Encryption::default(),
    };
    let mut outcomes = Vec::new();
    for at_once in [true, false] {
        let store = Planned {
            answers: Mutex::new(answers.iter().cloned().collect()),
            asked: Mutex::default(),
            is_there,
        };
        let fetch = Fetch::new(&store, &keys, hasher, 1, 0);
        let mut fetcher = Fetcher::new(&fetch).expect("made");
        let mut plain = Vec::new();
        let damage = if at_once {
            let damage = fetcher.fetch(7, &blob, GOOD.len(), || false);
            plain.extend(fetcher.data());
            damage
        } else {
            fetcher.load(7, &blob, GOOD.len(), &mut plain, || false).and_then(|damage| match damage {
                None => Verifier::new(&fetch).verify(7, &blob, &hasher.digest(&plain), &mut plain, || false),
                damage => Ok(damage),
            })
        };
        let asked = store.asked.lock().expect("fine").clone();
        assert!(!asked[0] && asked[1..].iter().all(|again| *again), "{asked:?}");
        outcomes.push((damage, plain, asked.len() - 1, fetch.doubtful.load(Ordering::Relaxed)));
    }
    let two_steps = outcomes.pop().expect("two");
    let at_once = outcomes.pop().expect("two");
    let told = |outcome: &Result<Option<Damage>>| format!("{outcome:?}");
    assert_eq!(told(&at_once.0), told(&two_steps.0));
    assert_eq!((&at_once.1, at_once.2, at_once.3), (&two_steps.1, two_steps.2, two_steps.3));
    at_once
}

const GOOD: &[u8] = b"sixteen bytes!!!";
const FLIPPED: &[u8] = b"sixteen Bytes!!!";
const ZEROS: &[u8] = &[0; 16];

#[test]
fn a_blob_that_is_bad_once_is_read_once_more_and_good() {
    for first in [Unreadable, Data(FLIPPED.to_vec()), Data(GOOD[..9].to_vec()), Data(Vec::new())] {
        let (damage, data, again, doubtful) = fetched(&[first, Data(GOOD.to_vec())], true);
        assert_eq!(damage.expect("no error"), None);
        assert_eq!((&data[..], again, doubtful), (GOOD, 1, 1));
    }
}

#[test]
fn a_blob_that_is_bad_twice_is_damaged() {
    let (damage, data, again, doubtful) = fetched(&[Unreadable, Unreadable], true);
    assert!(matches!(damage, Ok(Some(Damage::Unreadable(_)))), "{damage:?}");
    assert_eq!((&data[..], again, doubtful), (ZEROS, 1, 0));
    let flipped = Data(FLIPPED.to_vec());
    for second in [flipped.clone(), Unreadable, Data(Vec::new())] {
        let (damage, data, again, doubtful) = fetched(&[flipped.clone(), second], true);
        assert!(matches!(damage, Ok(Some(Damage::Checksum { .. }))), "{damage:?}");
        assert_eq!((&data[..], again, doubtful), (FLIPPED, 1, 0), "the wrong data is kept");
    }
    let (damage, _, again, _) = fetched(&[Answer::Missing], true);
    assert!(matches!(damage, Ok(Some(Damage::Missing))) && again == 0, "{damage:?}");
}

#[test]
fn data_of_a_wrong_length_is_no_part_of_the_block() {
    for wrong in [GOOD[..9].to_vec(), [GOOD, b"and more"].concat(), b"root:x:0:0".to_vec()] {
        let (damage, data, again, _) = fetched(&[Data(wrong.clone()), Data(wrong)], true);
        assert!(matches!(damage, Ok(Some(Damage::Size { should: 16, .. }))), "{damage:?}");
        assert_eq!((&data[..], again), (ZEROS, 1));
    }
}

#[test]
fn an_error_of_the_store_is_no_damage_whenever_it_comes() {
    for answers in [&[Fails][..], &[Unreadable, Fails], &[Data(FLIPPED.to_vec()), Fails]] {
        let (damage, _, again, _) = fetched(answers, true);
        assert!(matches!(damage, Err(Error::Store { .. })), "{damage:?}");
        assert_eq!(again, answers.len() - 1);
    }
    let (damage, ..) = fetched(&[Unreadable, Unreadable], false);
    assert!(matches!(damage, Err(Error::Store { .. })), "the disk is gone: {damage:?}");
}

#[test]
fn memory_that_cannot_be_had_is_no_damage() {
    let keys = Keyring::new(None);
    let hasher = Hasher::new(HashFunction::Sha512);
    let answers = Mutex::new(VecDeque::from([Data(GOOD.to_vec())]));
    let store = Planned { answers, asked: Mutex::default(), is_there: true };
    let fetch = Fetch::new(&store, &keys, hasher, 1, 0);
    let blob = Blob {
        id: BlobId(1),
        uid: "abcd".into(),
        checksum: None,
        size: 16,
        valid: true,
        encryption: Encryption::default(),
    };
    let mut plain = Vec::new();
    let mut fetcher = Fetcher::new(&fetch).expect("made");
    let error = fetcher.load(7, &blob, isize::MAX as usize, &mut plain, || false).expect_err("too much");
    assert!(error.to_string().contains("The blob itself is not damaged"), "{error}");
}

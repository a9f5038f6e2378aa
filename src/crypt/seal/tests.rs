use super::*;
use crate::types::hex::from_hex;
use crate::types::keys::BlobId;
use crate::types::uid::VersionUid;

const MOST: usize = 1 << 20;

fn store() -> Uuid {
    Uuid::from_u128(0x6ba7_b810_9dad_41d1_80b4_00c0_4fd4_30c8)
}

fn name() -> ObjectName {
    ObjectName::version(&VersionUid::from("2f4a0d6e-cb1c-11f0-8de9-0242ac120002")).expect("a plain uid")
}

fn key(first: u8) -> StoreKey {
    StoreKey::known(std::array::from_fn(|n| first + n as u8))
}

fn sealer(key: Option<&StoreKey>) -> Sealer {
    Sealer::new(store(), key).expect("derives")
}

/// A frame with one block that is not compressed, as the format of zstandard describes it.
fn plain_frame(data: &[u8]) -> Vec<u8> {
    let header = (data.len() << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, data.len() as u8], &header[..3], data].concat()
}

#[test]
fn sealed_data_opens_and_no_two_objects_are_alike() {
    for key in [None, Some(key(0))] {
        let sealer = sealer(key.as_ref());
        for data in
            [vec![], vec![1], vec![7; MOST], (0..99_999).map(|n: u32| ((n * 7919) >> 5) as u8).collect()]
        {
            let object = sealer.seal(&name(), &data).expect("seals");
            assert!(object.len() < data.len() + 100);
            assert_eq!(sealer.open(&name(), object.clone(), data.len()).as_deref(), Ok(&data));
            let again = sealer.seal(&name(), &data).expect("seals");
            assert_eq!(object != again, key.is_some());
        }
    }
}

/// The objects were made by another program, from the description of the format.
#[test]
fn the_format_is_known() {
    let data = b"backy2 keeps copies";
    let sealed = "42324f424a01016465666768696a6b6c6d6e6fb16a8941b5371f926d2ed039c3431baf9104e803d553495dd193fb235d02d61412b61f78637c789f02fa7c37";
    let opened = sealer(Some(&key(0))).open(&name(), from_hex(sealed).expect("hex"), MOST);
    assert_eq!(opened.expect("opens")[..], data[..]);

    let open = "42324f424a01006138690b71ffa4c1ecc71f04e9a23ca4e1ff0408134850842a3ff02179ccaa6c28b52ffd20139900006261636b7932206b6565707320636f70696573";
    let opened = sealer(None).open(&name(), from_hex(open).expect("hex"), MOST);
    assert_eq!(opened.expect("opens")[..], data[..]);
}

#[test]
fn every_damage_is_refused() {
    for key in [None, Some(key(0))] {
        let sealer = sealer(key.as_ref());
        let object = sealer.seal(&name(), b"some data, some data, some data").expect("seals");
        let refused = |object: Vec<u8>| sealer.open(&name(), object, MOST).expect_err("damaged");
        for length in 0..object.len() {
            refused(object[..length].to_vec());
        }
        assert_eq!(refused([&object[..], &[0]].concat()), ObjectError::NotAuthentic);
        for bit in 0..object.len() * 8 {
            let mut flipped = object.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = refused(flipped);
            let expected = match (bit / 8, bit % 8, &key) {
                (..5, ..) => ObjectError::Foreign,
                (5, ..) => ObjectError::Newer,
                (6, 0, None) => ObjectError::NoKey,
                (6, 0, Some(_)) => ObjectError::NotSealed,
                (6, ..) => ObjectError::Newer,
                _ => ObjectError::NotAuthentic,
            };
            assert_eq!(error, expected, "bit {bit}");
        }
    }
}

#[test]
fn objects_open_only_in_their_place() {
    let names = [
        name(),
        ObjectName::Identity,
        ObjectName::new_index(BlobId(1)),
        ObjectName::version(&VersionUid::from("2f4a0d6e-cb1c-11f0-8de9-0242ac120003")).expect("a plain uid"),
    ];
    for key in [None, Some(key(0))] {
        let sealer = sealer(key.as_ref());
        let elsewhere = Sealer::new(Uuid::from_u128(store().as_u128() + 1), key.as_ref()).expect("derives");
        for stored in &names {
            let object = sealer.seal(stored, b"data").expect("seals");
            for read in &names {
                assert_eq!(
                    sealer.open(read, object.clone(), MOST).is_ok(),
                    stored == read,
                    "{stored} as {read}"
                );
            }
            let error = elsewhere.open(stored, object, MOST).expect_err("another store");
            assert_eq!(error, ObjectError::NotAuthentic);
        }
    }
}

#[test]
fn objects_open_only_with_their_key() {
    let (first, second) = (key(0), key(1));
    let sealed = sealer(Some(&first)).seal(&name(), b"data").expect("seals");
    let open = sealer(None).seal(&name(), b"data").expect("seals");
    let error =
        |sealer: Sealer, object: &[u8]| sealer.open(&name(), object.to_vec(), MOST).expect_err("refused");
    assert_eq!(error(sealer(Some(&second)), &sealed), ObjectError::NotAuthentic);
    assert_eq!(error(sealer(None), &sealed), ObjectError::NoKey);
    assert_eq!(error(sealer(Some(&first)), &open), ObjectError::NotSealed);
}

#[test]
fn too_much_data_is_refused() {
    let sealer = sealer(None);
    for length in [0, 1, 5000, MOST] {
        let object = sealer.seal(&name(), &vec![0; length]).expect("seals");
        assert!(sealer.open(&name(), object.clone(), length).is_ok());
        assert!(sealer.open(&name(), object.clone(), usize::MAX).is_ok(), "without a limit");
        if length > 0 {
            assert_eq!(sealer.open(&name(), object, length - 1), Err(ObjectError::TooLarge(length - 1)));
        }
    }
}

/// Anybody can make an object for a store without a key.
#[test]
fn authentic_nonsense_is_refused() {
    let sealer = sealer(None);
    let open = |frame: &[u8]| {
        let digest = sealer.digest(&name(), frame);
        let object = [b"B2OBJ\x01\x00", &digest.as_bytes()[..], frame].concat();
        sealer.open(&name(), object, MOST)
    };
    let frame = plain_frame(b"data");
    assert_eq!(open(&frame).as_deref(), Ok(&b"data".to_vec()));
    for bad in [&frame[..frame.len() - 1], &frame[1..], b"text", &[&frame[..], &frame].concat()] {
        assert!(matches!(open(bad), Err(ObjectError::Frame(_))), "{bad:?}");
    }
    // A promise of 2^63 bytes, and a window of 2^41.
    for header in [&b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\x80"[..], b"\x28\xb5\x2f\xfd\x00\xf8"] {
        let bad = [header, b"\x09\0\0x"].concat();
        assert!(matches!(open(&bad), Err(ObjectError::Frame(_))), "{bad:?}");
    }
}

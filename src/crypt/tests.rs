//! Tests with blobs and vectors that the original program made.

use super::*;
use crate::types::settings::MasterKey;
use md5::Digest;
use sha2::Sha256;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/crypto/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).expect(&path)
}

fn vector(name: &str) -> serde_json::Value {
    let all: Vec<serde_json::Value> = serde_json::from_slice(&fixture("vectors.json")).expect("json");
    all.into_iter().find(|v| v["name"] == name).expect("a vector of that name")
}

fn text(vector: &serde_json::Value, field: &str) -> String {
    vector[field].as_str().expect(field).to_owned()
}

fn keyring(vector: &serde_json::Value) -> Keyring {
    Keyring::new(MasterKey::from_hex(&text(vector, "master_key")).as_ref())
}

fn encryption(vector: &serde_json::Value) -> Encryption {
    Encryption {
        version: 1,
        envkey: Some(text(vector, "enc_envkey")),
        nonce: Some(text(vector, "enc_nonce")),
    }
}

#[test]
fn blobs_of_2_13_decode_to_their_data() {
    for name in ["small", "empty", "rand64k"] {
        let vector = vector(name);
        let keys = keyring(&vector);
        let key = keys.unwrap(&text(&vector, "enc_envkey")).expect("unwraps");
        assert_eq!(to_hex(&*key), text(&vector, "data_key"));
        assert_eq!(to_hex(&keys.wrap(&*key).expect("wraps")), text(&vector, "enc_envkey"));

        let want = fixture(&format!("{name}.plain"));
        let mut plain = Vec::new();
        let mut decoder = Decoder::new(&keys).expect("decoder");
        let mut blob = fixture(&format!("{name}.blob"));
        decoder.decode(&mut blob, &encryption(&vector), want.len() as u64, &mut plain).expect("decodes");
        assert_eq!(plain, want, "{name}");
    }
}

/// With a 16-byte nonce the 32-bit counter can start anywhere. It must wrap without a carry.
#[test]
fn the_counter_wraps_within_32_bits() {
    let vector = vector("wrap");
    let mut data = Vec::new();
    for j in 0..8192 {
        data.extend_from_slice(&Sha256::digest(format!("wrap:{j}").as_bytes()));
    }
    let cipher = Gcm::new_from_slice(&from_hex(&text(&vector, "data_key")).expect("hex")).expect("key");
    let nonce = from_hex(&text(&vector, "enc_nonce")).expect("hex");
    let nonce = Nonce::<U16>::try_from(&nonce[..]).expect("16 bytes");
    let tag = cipher.encrypt_inout_detached(&nonce, &[], data.as_mut_slice().into()).expect("encrypts");
    assert_eq!(to_hex(&tag), text(&vector, "tag"));
    assert_eq!(to_hex(&Sha256::digest(&data)), text(&vector, "ciphertext_sha256"));
}

#[test]
fn encoded_data_decodes_and_no_two_blobs_are_alike() {
    let keys = keyring(&vector("small"));
    let mut encoder = Encoder::new(1, &keys).expect("encoder");
    let mut decoder = Decoder::new(&keys).expect("decoder");
    // Large before small: reused buffers must not leak old bytes.
    for plain in [vec![7u8; 100_000], fixture("rand64k.plain"), vec![1], Vec::new()] {
        let (blob, facts) = encoder.encode(&plain).map(|(b, e)| (b.to_vec(), e)).expect("encodes");
        assert_eq!(facts.envkey.as_ref().map(String::len), Some(80));
        assert_eq!(facts.nonce.as_deref(), Some(&to_hex(&blob[TAG..HEADER])[..]));
        let again = encoder.encode(&plain).map(|(b, _)| b.to_vec()).expect("encodes");
        assert_ne!(blob, again);
        let mut back = vec![9; 3];
        decoder.decode(&mut blob.clone(), &facts, plain.len() as u64, &mut back).expect("decodes");
        assert_eq!(back, plain);
    }
}

#[test]
fn every_damage_is_an_error_and_never_a_panic() {
    let keys = keyring(&vector("small"));
    let mut encoder = Encoder::new(1, &keys).expect("encoder");
    let plain = fixture("small.plain");
    let (blob, facts) = encoder.encode(&plain).map(|(b, e)| (b.to_vec(), e)).expect("encodes");
    let mut decoder = Decoder::new(&keys).expect("decoder");
    let mut out = Vec::new();
    let mut decode = |blob: &[u8], facts: &Encryption, size: usize| {
        decoder.decode(&mut blob.to_vec(), facts, size as u64, &mut out).expect_err("damaged")
    };
    for length in 0..blob.len() {
        let error = decode(&blob[..length], &facts, plain.len());
        let short = length <= HEADER;
        assert_eq!(error, if short { DecodeError::TooShort(length) } else { DecodeError::Tag });
    }
    for at in 0..blob.len() {
        let mut flipped = blob.clone();
        flipped[at] ^= 1;
        assert_eq!(decode(&flipped, &facts, plain.len()), DecodeError::Tag, "byte {at}");
    }
    assert!(matches!(decode(&blob, &facts, plain.len() - 1), DecodeError::Frame(_)));
    let with = |envkey: &str| Encryption { envkey: Some(envkey.to_owned()), ..facts.clone() };
    assert_eq!(decode(&blob, &with("zz"), plain.len()), DecodeError::KeyField);
    assert_eq!(decode(&blob, &with(&"0".repeat(80)), plain.len()), DecodeError::KeyUnwrap);
    assert_eq!(decode(&blob, &Encryption { version: 2, ..facts.clone() }, 1), DecodeError::Version(2));

    let none = Keyring::new(None);
    let mut blind = Decoder::new(&none).expect("decoder");
    assert_eq!(blind.decode(&mut blob.clone(), &facts, 1, &mut Vec::new()), Err(DecodeError::NoKey));
    assert!(Encoder::new(1, &none).expect("encoder").encode(b"x").is_err());
}

#[test]
fn frames_without_a_content_size_are_read() {
    let mut frame = Vec::new();
    let mut stream = zstd::stream::Encoder::new(&mut frame, 1).expect("stream");
    std::io::Write::write_all(&mut stream, &[5; 5000]).expect("writes");
    stream.finish().expect("finishes");
    let mut plain = Vec::with_capacity(5000);
    zstd::bulk::Decompressor::new().expect("new").decompress_to_buffer(&frame, &mut plain).expect("reads");
    assert_eq!(plain, [5; 5000]);
}

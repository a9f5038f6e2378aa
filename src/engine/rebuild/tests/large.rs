//! How long a large rebuild takes, and how much memory.

use super::*;
use crate::copies::{BlockMap, CopiedBlob, RowSum, SummedRow};
use crate::types::keys::VersionKey;
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use std::time::Instant;

fn number(name: &str, usual: i64) -> i64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Peak of resident memory in MiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("read");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") / 1024
}

#[test]
#[ignore = "takes minutes"]
fn a_large_database_comes_back() {
    let (images, versions, blocks) = (number("IMAGES", 5), number("VERSIONS", 20), number("BLOCKS", 100_000));
    let bench = Bench::new();
    bench.history();
    for folder in ["index", "versions"] {
        fs::remove_dir_all(bench.object(folder)).expect("removed");
    }
    let mut site = bench.site(Access::Write);
    let store = site.open_store(Use::Write).expect("opened");
    let row = site.meta.store().expect("read").expect("known");
    let key = StoreKey::unwrap(&site.keys, row.envkey.as_deref().expect("a key")).expect("opens");
    let rows_key = rows_key(Some(&key)).expect("derived");
    let sealer = Sealer::new(Uuid::parse_str(&row.uuid).expect("a UUID"), Some(&key)).expect("made");
    drop(site);
    let put = |name: &ObjectName, plain: &[u8]| {
        store.put_object(name, &sealer.seal(name, plain).expect("sealed")).expect("put");
    };
    let uid_of = |id: i64| BlobUid::of(Uuid::from_u128(blake3_of(id)));
    let checksum = |id: i64| format!("{:0128x}", blake3_of(id));
    let (mut next, mut bytes) = (1, 0);
    let mut list: Vec<CopiedBlob> = Vec::new();
    let mut new_blob = |list: &mut Vec<CopiedBlob>| {
        let id = next;
        next += 1;
        list.push(CopiedBlob {
            id: BlobId(id),
            uid: uid_of(id),
            checksum: Some(checksum(id).into()),
            size: 4 << 20,
            enc_version: 1,
            key: CopiedKey::Plain(zeroize::Zeroizing::new(*blake3::hash(&id.to_le_bytes()).as_bytes())),
            nonce: Some(format!("{:032x}", blake3_of(-id))),
            date: Timestamp::from_unix(id),
        });
        if list.len() == 50_000 {
            let name = ObjectName::new_index(BlobId(id));
            put(&name, &encode_index(list).expect("ascend"));
            list.clear();
        }
        id
    };
    for image in 0..images {
        let mut ids: Vec<i64> = Vec::new();
        let mut sum = RowSum::new(&rows_key);
        for version in 0..versions {
            let changed: Vec<i64> = if version == 0 {
                (0..blocks).collect()
            } else {
                (0..blocks / 100).map(|n| n * 100 + version).collect()
            };
            for block in changed {
                let id = new_blob(&mut list);
                let row = |id: i64, uid: &str, checksum: &str, sum: &mut RowSum, add: bool| {
                    let _ = id;
                    let row = SummedRow {
                        block: block as u64,
                        uid,
                        checksum: Some(checksum),
                        size: 4 << 20,
                        enc_version: 1,
                    };
                    if add { sum.add(row) } else { sum.sub(row) }
                };
                if version == 0 {
                    ids.push(id);
                } else {
                    let old = ids[block as usize];
                    row(old, uid_of(old).as_str(), &checksum(old), &mut sum, false);
                    ids[block as usize] = id;
                }
                row(id, uid_of(id).as_str(), &checksum(id), &mut sum, true);
            }
            let mut map = BlockMap::default();
            ids.iter()
                .enumerate()
                .for_each(|(block, id)| map.push(block as u64, BlobId(*id)).expect("ascends"));
            let uid = VersionUid::generate();
            let copied = CopiedVersion {
                version: Version {
                    key: VersionKey(1 + image * versions + version),
                    uid: uid.clone(),
                    date: Timestamp::from_unix(version * 86400),
                    expire: None,
                    name: format!("image{image}"),
                    snapshot_name: String::new(),
                    size: blocks as u64,
                    size_bytes: (blocks as u64) << 22,
                    valid: true,
                    protected: false,
                    tags: vec!["daily".into()],
                },
                origin: None,
                runs: Vec::new(),
                hash_function: bench.config.hash_function.to_string(),
                block_size: bench.config.block_size,
                blocks: map,
                bad: Default::default(),
                row_sum: sum.bytes(),
            };
            let name = ObjectName::version(&uid).expect("plain");
            let plain = copied.encode();
            bytes += plain.len();
            put(&name, &plain);
        }
    }
    if !list.is_empty() {
        put(&ObjectName::new_index(list[list.len() - 1].id), &encode_index(&list).expect("ascend"));
    }
    drop(list);
    bench.lose_database();
    println!(
        "{} blobs, {} versions, {bytes} bytes of versions; peak {} MiB",
        next - 1,
        images * versions,
        peak()
    );
    fs::write("/proc/self/clear_refs", "5").expect("reset");
    let begin = Instant::now();
    let rebuilt = bench.rebuild().expect("rebuilt");
    println!(
        "rebuilt in {:?}; peak {} MiB; {} MiB of database",
        begin.elapsed(),
        peak(),
        fs::metadata(bench.database()).expect("there").len() >> 20
    );
    assert!(rebuilt.invalid.iter().all(|invalid| invalid.loss == Loss::Blobs), "no blob is there");
    assert_eq!(rebuilt.versions, (images * versions) as u64);
}

fn blake3_of(id: i64) -> u128 {
    u128::from_le_bytes(*blake3::hash(&id.to_le_bytes()).as_bytes().first_chunk().expect("16 bytes"))
}

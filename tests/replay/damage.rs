//! Makes the stores whose damage the recorded commands find: `e1` is encrypted, `e0` is not.

use super::images::noise;
use super::stage::Stage;
use std::fs;

/// The versions, with the first digits of their uids in `e1` and in `e0`.
const VERSIONS: &[(&str, &str, &str)] = &[
    ("ok", "30c4b05e", "3b4389c4"),
    ("del", "31b496aa", "3be206e4"),
    ("trunc0", "3244153c", "3c933f4a"),
    ("trunc", "32f16cfa", "3d4807d6"),
    ("flip", "33825904", "3de764de"),
    ("extra", "34480f6e", "3ea019fc"),
];
/// The block that is damaged in each version.
const BAD: u64 = 3;

fn uid(begin: &str) -> String {
    format!("{begin}-e505-11f1-90ca-02fc00000001")
}

/// The preparations for a step.
pub fn before(number: u32, stage: &mut Stage) {
    match number {
        221 => {
            make(stage, "e1");
            make(stage, "e0");
        }
        234 => wrong_checksum(stage, "e1", VERSIONS[0].1),
        249 => wrong_checksum(stage, "e0", VERSIONS[0].2),
        _ => {}
    }
}

/// Backs up an image for each version and damages the blobs.
fn make(stage: &mut Stage, name: &str) {
    stage.prepare(&format!("backy2 -m -c @CFG@/{name}.cfg initdb"), &[]);
    for (seed, (version, in_e1, in_e0)) in (100..).zip(VERSIONS) {
        let uid = uid(if name == "e1" { in_e1 } else { in_e0 });
        fs::write(stage.path("e8.img"), noise(seed, 8 << 20)).expect("write");
        stage
            .prepare(&format!("backy2 -m -c @CFG@/{name}.cfg backup file://@DIR@/e8.img {version}"), &[&uid]);
        let path = stage.blob(name, &uid, BAD);
        let mut data = fs::read(&path).expect("read");
        match *version {
            "del" => {
                fs::remove_file(&path).expect("delete");
                continue;
            }
            "trunc0" => data.clear(),
            "trunc" => data.truncate(100),
            "flip" => data[1000] ^= 1,
            "extra" => data.extend([0; 3]),
            _ => {}
        }
        fs::write(&path, data).expect("write");
    }
}

/// Changes the checksum of block 2 in the database.
fn wrong_checksum(stage: &Stage, name: &str, begin: &str) {
    let blob = format!("SELECT uid FROM blocks WHERE version_uid = '{}' AND id = 2", uid(begin));
    let sql = format!("UPDATE blobs SET checksum = '00' || substr(checksum, 3) WHERE uid = ({blob})");
    stage.sql(name, &sql);
}

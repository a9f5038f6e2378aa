//! File names for the names of versions: every text has one, and no two texts share one.

use crate::types::uid::VersionUid;

/// The most bytes of a file name.
const LONGEST: usize = 255;
/// Bytes that are kept of a longer name; a hash of the whole name follows them.
const KEPT: usize = 220;

/// The name of the folder for versions called `name`: `/` becomes `%2F`, `%` becomes `%25`, and the empty name becomes
/// a single `%`. A name that would be too long is cut.
pub(super) fn file_name(name: &str) -> String {
    let mut file = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '/' => file += "%2F",
            '%' => file += "%25",
            '\0' => file += "%00",
            other => file.push(other),
        }
    }
    match &file[..] {
        "" => return "%".to_owned(),
        "." => return "%2E".to_owned(),
        ".." => return "%2E%2E".to_owned(),
        _ => {}
    }
    if file.len() > LONGEST {
        let mut end = KEPT;
        while !file.is_char_boundary(end) {
            end -= 1;
        }
        file = format!("{}%{:016x}", &file[..end], fnv1a(name.as_bytes()));
    }
    file
}

/// The name of a version's folder and links. A uid made by any release stays as it is; a damaged or forged uid is
/// escaped as [`file_name`] does it.
pub(super) fn uid_name(uid: &VersionUid) -> String {
    match uid.as_str() {
        // The plain word is the name of the link to the newest version, in the same folder.
        LATEST => "%6Catest".to_owned(),
        uid => file_name(uid),
    }
}

/// The link to the newest valid version of a name.
pub(super) const LATEST: &str = "latest";

/// FNV-1a, 64 bits. It is the same in every run, so that paths do not change.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_becomes_one_that_a_folder_can_have() {
        for (name, file) in [
            ("vm1", "vm1"),
            ("a b", "a b"),
            ("pool/image@snap", "pool%2Fimage@snap"),
            ("100%", "100%25"),
            ("", "%"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("../..", "..%2F.."),
            ("ä", "ä"),
        ] {
            assert_eq!(file_name(name), file);
        }
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c, "the published value");
    }

    #[test]
    fn uids_are_names_as_they_are_unless_they_cannot_be() {
        let uid = "1c078580-e505-11f1-90ca-02fc00000001";
        assert_eq!(uid_name(&uid.into()), uid);
        let odd = ["a/b", "..", "latest"].map(|uid| uid_name(&uid.into()));
        assert_eq!(odd, ["a%2Fb", "%2E%2E", "%6Catest"]);
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (a, b) = ("ä".repeat(500), format!("{}x", "ä".repeat(499)));
        assert!(file_name(&a).len() <= LONGEST && file_name(&a) != file_name(&b));
        assert_eq!(file_name(&"x".repeat(255)), "x".repeat(255));
        assert!(file_name(&"/".repeat(200)).len() <= LONGEST);
    }
}

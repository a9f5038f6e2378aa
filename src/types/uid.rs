//! Names of versions and of blobs.

use super::hex::to_hex;
use super::time::Timestamp;
use super::verbatim::verbatim;
use md5::{Digest, Md5};
use uuid::Uuid;

verbatim! {
    /// The name of a version: a UUID of version 1. Old databases and dumps may hold other text, which is kept
    /// unchanged.
    VersionUid
}

impl VersionUid {
    /// A new uid in lower case.
    pub fn generate() -> Self {
        Self::of(Timestamp::now())
    }

    fn of(time: Timestamp) -> Self {
        // The node id is random and has the multicast bit set, as RFC 9562 requires if no hardware address is used.
        let mut node = [0u8; 6];
        for byte in &mut node {
            *byte = fastrand::u8(..);
        }
        node[0] |= 1;
        let time = uuid::Timestamp::from_gregorian_time(ticks(time), fastrand::u16(..));
        VersionUid::from(Uuid::new_v1(time, &node).to_string())
    }
}

/// Steps of 100 ns since the start of the Gregorian calendar, in the 60 bits that a UUID has for them. Outside the
/// years 1582 to 5236 the number wraps around. That does no harm, because the rest of the uid is random.
fn ticks(time: Timestamp) -> u64 {
    /// Steps from 15 October 1582 to 1970.
    const GREGORIAN: i128 = 0x01b2_1dd2_1381_4000;
    let utc = time.naive().and_utc();
    let since_1970 =
        i128::from(utc.timestamp()) * 10_000_000 + i128::from(utc.timestamp_subsec_nanos() / 100);
    (since_1970 + GREGORIAN).rem_euclid(1 << 60) as u64
}

verbatim! {
    /// The name of a blob: `md5(s)[..10] + s`, where `s` is a random UUID of version 4 in base 57 with 22 digits. The
    /// md5 prefix spreads the names evenly over folders.
    ///
    /// A damaged database may hold any other text: see [`BlobUid::is_plain`].
    BlobUid
}

/// Digits and letters, without those that look alike.
const ALPHABET: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Digits that every UUID fits in.
const DIGITS: usize = 22;
/// Number of hex digits of the md5 prefix.
const PREFIX: usize = 10;

impl BlobUid {
    /// A new uid of 32 characters.
    pub fn generate() -> Self {
        Self::of(Uuid::new_v4())
    }

    /// The uid that holds `uuid`.
    pub fn of(uuid: Uuid) -> Self {
        let mut value = uuid.as_u128();
        let mut digits = [ALPHABET[0]; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET[(value % 57) as usize];
            value /= 57;
        }
        let name: String = digits.iter().copied().map(char::from).collect();
        BlobUid::from(prefix_of(&name) + &name)
    }

    /// The UUID that this uid holds. `None` if it is not exactly the uid that [`BlobUid::of`] makes of one.
    pub fn uuid(&self) -> Option<Uuid> {
        let text = self.as_str();
        let digits = text.get(PREFIX..).filter(|digits| digits.len() == DIGITS)?;
        let value = digits.bytes().try_fold(0u128, |value, digit| {
            let digit = ALPHABET.iter().position(|d| *d == digit)?;
            value.checked_mul(57)?.checked_add(digit as u128)
        })?;
        let uuid = Uuid::from_u128(value);
        (BlobUid::of(uuid) == *text).then_some(uuid)
    }

    /// Whether `name` is a blob name that a release of this program has made: its prefix must be the md5 of the rest.
    /// Some old releases did not pad the digits, so a name may be shorter than 32 characters.
    ///
    /// A full cleanup deletes only such names, so that foreign files and keys stay.
    pub fn is_one(name: &str) -> bool {
        name.len() > PREFIX
            && name.len() <= 32
            && name.bytes().all(|c| c.is_ascii_alphanumeric())
            && prefix_of(&name[PREFIX..]) == name[..PREFIX]
    }

    /// Whether `name` is safe to use as a blob name: at least four characters, only letters, digits, `-` and `_`. A
    /// name from a damaged database must not lead out of a store.
    pub fn is_plain(name: &str) -> bool {
        name.len() >= 4 && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    }
}

fn prefix_of(name: &str) -> String {
    let mut hex = to_hex(&Md5::digest(name.as_bytes()));
    hex.truncate(PREFIX);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blob_uids_have_the_form_of_2_13() {
        let uid = BlobUid::generate();
        assert_eq!(uid.as_str().len(), 32);
        assert!(BlobUid::is_one(uid.as_str()));
        assert!(BlobUid::is_one("1c078580d26VPZgMJVaCy83fWSbTAuiT"));
        for foreign in ["", "1c078580d2", "1c078580d26VPZgMJVaCy83fWSbTAuiU", "lost+found", "å1c078580d2"] {
            assert!(!BlobUid::is_one(foreign), "{foreign}");
        }
        assert_ne!(BlobUid::generate(), uid);
    }

    #[test]
    fn blob_uids_hold_uuids() {
        for uuid in [Uuid::nil(), Uuid::max(), Uuid::from_u128(57), Uuid::new_v4()] {
            assert_eq!(BlobUid::of(uuid).uuid(), Some(uuid));
        }
        let known = BlobUid::from("1c078580d26VPZgMJVaCy83fWSbTAuiT");
        assert_eq!(known.uuid().map(BlobUid::of), Some(known));
        // Digits for more than 128 bits, too few digits, another prefix, and no uid at all.
        let prefixed = |digits: &str| prefix_of(digits) + digits;
        for other in
            [prefixed(&"z".repeat(22)), prefixed("6VPZgMJVaCy83fWSbTAui"), "2".repeat(32), "ü".repeat(16)]
        {
            assert_eq!(BlobUid::from(&*other).uuid(), None, "{other}");
        }
    }

    #[test]
    fn version_uids_are_uuid1() {
        let uid = VersionUid::generate();
        let parsed = Uuid::parse_str(uid.as_str()).expect("a uuid");
        assert_eq!(parsed.get_version_num(), 1);
        assert_eq!(uid.as_str(), uid.as_str().to_lowercase());
        assert_ne!(VersionUid::generate(), uid);
    }

    #[test]
    fn version_uids_are_made_whatever_the_clock_says() {
        for text in ["0001-01-01", "1582-10-14", "1969-12-31 23:59:59", "2026-03-01 12:00:00", "9999-12-31"] {
            let uid = VersionUid::of(Timestamp::parse(text).expect(text));
            let parsed = Uuid::parse_str(uid.as_str()).expect("a uuid");
            assert_eq!((parsed.get_version_num(), uid.as_str().len()), (1, 36), "{uid}");
            if text > "1600" && text < "5000" {
                let (seconds, _) = parsed.get_timestamp().expect("a time").to_gregorian();
                assert_eq!(seconds, ticks(Timestamp::parse(text).expect(text)), "{text}");
            }
        }
    }
}

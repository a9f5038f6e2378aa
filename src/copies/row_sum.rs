//! A digest of a version's rows that can be brought up to date.

/// A block with data, and what identifies that data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummedRow<'r> {
    /// Number of the block.
    pub block: u64,
    /// The blob's name in the store.
    pub uid: &'r str,
    /// Checksum of the plain data, if the row has one.
    pub checksum: Option<&'r str>,
    /// Plain size in bytes.
    pub size: i64,
    /// Encryption version of the blob.
    pub enc_version: u32,
}

/// The sum of the digests of rows, modulo 2^256. Rows may be added and removed in any order. A row's digest has the
/// number of its block in it, so that the same blobs at other blocks have another sum. Holes are not counted.
///
/// Only somebody with the key can make other rows with the same sum.
#[derive(Clone)]
pub struct RowSum {
    /// Computes digests under the key.
    hasher: blake3::Hasher,
    /// The lowest part first.
    sum: [u64; 4],
}

impl RowSum {
    /// The sum of no rows.
    pub fn new(key: &[u8; 32]) -> Self {
        Self::resume(key, [0; 32])
    }

    /// The sum that [`RowSum::bytes`] returned, to go on from there.
    pub fn resume(key: &[u8; 32], bytes: [u8; 32]) -> Self {
        RowSum { hasher: blake3::Hasher::new_keyed(key), sum: parts(&bytes) }
    }

    /// Adds a row.
    pub fn add(&mut self, row: SummedRow) {
        self.add_parts(self.digest(row));
    }

    /// Removes a row that was added before.
    pub fn sub(&mut self, row: SummedRow) {
        self.sub_parts(self.digest(row));
    }

    /// Adds the rows of another sum, as [`RowSum::bytes`] returned it.
    pub fn add_sum(&mut self, sum: &[u8; 32]) {
        self.add_parts(parts(sum));
    }

    /// Removes the rows of another sum, as [`RowSum::bytes`] returned it.
    pub fn sub_sum(&mut self, sum: &[u8; 32]) {
        self.sub_parts(parts(sum));
    }

    fn add_parts(&mut self, parts: [u64; 4]) {
        let mut carry = false;
        for (sum, part) in self.sum.iter_mut().zip(parts) {
            let (value, first) = sum.overflowing_add(part);
            let (value, second) = value.overflowing_add(u64::from(carry));
            (*sum, carry) = (value, first || second);
        }
    }

    fn sub_parts(&mut self, parts: [u64; 4]) {
        let mut borrow = false;
        for (sum, part) in self.sum.iter_mut().zip(parts) {
            let (value, first) = sum.overflowing_sub(part);
            let (value, second) = value.overflowing_sub(u64::from(borrow));
            (*sum, borrow) = (value, first || second);
        }
    }

    /// The sum as a number of 256 bits, the lowest byte first.
    pub fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (to, part) in bytes.chunks_exact_mut(8).zip(self.sum) {
            to.copy_from_slice(&part.to_le_bytes());
        }
        bytes
    }

    /// The digest of one row. Each field has a fixed length or follows its length, so that no two rows have the same
    /// bytes.
    fn digest(&self, row: SummedRow) -> [u64; 4] {
        let mut hasher = self.hasher.clone();
        hasher.update(&row.block.to_le_bytes());
        hasher.update(&row.size.to_le_bytes());
        hasher.update(&row.enc_version.to_le_bytes());
        hasher.update(&(row.uid.len() as u64).to_le_bytes());
        hasher.update(row.uid.as_bytes());
        // Nothing follows the checksum, so that its length is clear.
        hasher.update(&[u8::from(row.checksum.is_some())]);
        hasher.update(row.checksum.unwrap_or_default().as_bytes());
        parts(hasher.finalize().as_bytes())
    }
}

fn parts(bytes: &[u8; 32]) -> [u64; 4] {
    let mut parts = [0; 4];
    for (part, bytes) in parts.iter_mut().zip(bytes.as_chunks().0) {
        *part = u64::from_le_bytes(*bytes);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::hex::to_hex;
    use proptest::prelude::*;

    const KEY: [u8; 32] = [9; 32];

    fn row(block: u64, uid: &str) -> SummedRow<'_> {
        SummedRow { block, uid, checksum: Some("c0ffee"), size: 4096, enc_version: 1 }
    }

    fn sum<'r>(rows: impl IntoIterator<Item = SummedRow<'r>>) -> [u8; 32] {
        let mut sum = RowSum::new(&KEY);
        rows.into_iter().for_each(|row| sum.add(row));
        sum.bytes()
    }

    /// The sum was computed by another program, from the description of the format.
    #[test]
    fn the_sum_is_known() {
        assert_eq!(sum([]), [0; 32]);
        let odd = SummedRow { block: 3, uid: "cd", checksum: None, size: -1, enc_version: 0 };
        let known = "0fd632dd952b0863245c0ca1b7e80b799cecefceb8c98adca0e6f26afc222b18";
        assert_eq!(to_hex(&sum([row(1, "ab"), row(2, "ab"), odd])), known);
    }

    #[test]
    fn carries_go_through_all_bytes() {
        let mut sum = RowSum::resume(&KEY, [0xff; 32]);
        let digest = parts(&self::sum([row(1, "ab")]));
        sum.add(row(1, "ab"));
        // All ones are -1.
        let mut less_one = digest;
        less_one[0] -= 1;
        assert_eq!(parts(&sum.bytes()), less_one);
        sum.sub(row(1, "ab"));
        assert_eq!(sum.bytes(), [0xff; 32]);

        let mut sum = RowSum::new(&KEY);
        sum.sub(row(1, "ab"));
        let mut negative = digest.map(|part| !part);
        negative[0] += 1;
        assert_eq!(parts(&sum.bytes()), negative);
        sum.add(row(1, "ab"));
        assert_eq!(sum.bytes(), [0; 32]);
    }

    #[test]
    fn sums_are_added_and_removed_as_their_rows_are() {
        let (one, other) = ([row(1, "ab"), row(2, "cd")], [row(7, "ef")]);
        let mut sum = RowSum::resume(&KEY, self::sum(one));
        sum.add_sum(&self::sum(other));
        assert_eq!(sum.bytes(), self::sum([one[0], one[1], other[0]]));
        sum.sub_sum(&self::sum(one));
        assert_eq!(sum.bytes(), self::sum(other));
    }

    #[test]
    fn every_field_counts() {
        let base = row(1, "ab");
        let others = [
            SummedRow { block: 2, ..base },
            SummedRow { uid: "ac", ..base },
            SummedRow { checksum: None, ..base },
            SummedRow { checksum: Some(""), ..base },
            SummedRow { checksum: Some("c0ffef"), ..base },
            SummedRow { size: 4097, ..base },
            SummedRow { size: -4096, ..base },
            SummedRow { enc_version: 0, ..base },
            // The same texts, cut elsewhere.
            SummedRow { uid: "a", checksum: Some("bc0ffee"), ..base },
            SummedRow { uid: "ab\u{1}c0ffee", checksum: None, ..base },
        ];
        for (n, other) in others.iter().enumerate() {
            assert_ne!(sum([*other]), sum([base]), "{other:?}");
            assert!(others[..n].iter().all(|earlier| sum([*earlier]) != sum([*other])), "{other:?}");
        }
        assert_ne!(
            sum([row(1, "a"), row(2, "b")]),
            sum([row(1, "b"), row(2, "a")]),
            "two blocks were swapped"
        );
        assert_ne!(sum([base, base]), sum([base]), "a row stands there twice");
        let mut other_key = RowSum::new(&[8; 32]);
        other_key.add(base);
        assert_ne!(other_key.bytes(), sum([base]));
    }

    proptest! {
        /// A version of many steps has the sum of the rows that it has in the end.
        #[test]
        fn the_way_to_the_rows_does_not_matter(
            steps in proptest::collection::vec((0u64..6, proptest::option::of("[a-c]")), 0..40),
        ) {
            let (mut there, mut sum) = (std::collections::BTreeMap::new(), RowSum::new(&KEY));
            for (block, uid) in &steps {
                if let Some(before) = there.remove(block) {
                    sum = RowSum::resume(&KEY, sum.bytes());
                    sum.sub(row(*block, before));
                }
                if let Some(uid) = uid {
                    sum.add(row(*block, uid));
                    there.insert(block, uid);
                }
            }
            prop_assert_eq!(sum.bytes(), self::sum(there.iter().rev().map(|(block, uid)| row(**block, uid))));
        }
    }
}

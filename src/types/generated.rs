//! The data that `null://` generates. The same block has the same bytes on every machine.

/// Number of bytes at the start of a block that hold its number.
const NUMBER: usize = 16;

/// Fills `buf` with the data of block `id`: `id` as 16 bytes in little-endian order, then spaces (0x20), cut to the
/// length of `buf`.
pub(crate) fn generated(id: u64, buf: &mut [u8]) {
    generated_from(id, 0, buf);
}

/// Fills `buf` with the data of block `id` as [`generated`] makes it, but starts at byte `skip` of the block.
pub(crate) fn generated_from(id: u64, skip: u64, buf: &mut [u8]) {
    let mut number = [0; NUMBER];
    number[..8].copy_from_slice(&id.to_le_bytes());
    let skip = usize::try_from(skip).map_or(NUMBER, |skip| skip.min(NUMBER));
    let (head, blanks) = buf.split_at_mut((NUMBER - skip).min(buf.len()));
    head.copy_from_slice(&number[skip..skip + head.len()]);
    blanks.fill(b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_its_number_and_blanks() {
        let mut block = [0xff; 20];
        generated(0x0102, &mut block);
        assert_eq!(&block[..3], &[2, 1, 0]);
        assert_eq!(&block[3..16], &[0; 13]);
        assert_eq!(&block[16..], b"    ");
    }

    #[test]
    fn short_blocks_and_parts_of_blocks_are_cut_from_the_same_data() {
        let mut whole = [0; 40];
        generated(u64::MAX, &mut whole);
        for skip in 0..40 {
            for end in skip..=40 {
                let mut part = vec![1; end - skip];
                generated_from(u64::MAX, skip as u64, &mut part);
                assert_eq!(part, whole[skip..end], "{skip}..{end}");
            }
        }
        generated_from(1, u64::MAX, &mut whole);
        assert_eq!(whole, [b' '; 40]);
    }
}

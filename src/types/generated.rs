//! Data made up from a block's number, for sources and stores that hold nothing.

/// Fills `data` with the generated data of block `id`: the number as 16 bytes little-endian, then blanks.
pub fn generated(id: u64, data: &mut [u8]) {
    let number = u128::from(id).to_le_bytes();
    let cut = data.len().min(number.len());
    data[..cut].copy_from_slice(&number[..cut]);
    data[cut..].fill(b' ');
}

//! Four messages at once, in the 256-bit registers of AVX2.
//!
//! The only `unsafe` code here is calls of intrinsics. Each is sound on a processor with AVX2, and all code in this
//! file runs only through [`compress`], which checks that. All loads and stores go through references to arrays of
//! exactly the size of a register.
#![allow(unsafe_code)]

use super::State;
use super::rounds::{self, Vector};
use std::arch::x86_64::*;

/// Processes all 128-byte blocks of `data` into `state`. All slices have the same length, a multiple of 128.
///
/// Panics on a processor without AVX2. Check with [`available`] first.
pub(super) fn compress(state: &mut State<4>, data: &[&[u8]; 4]) {
    assert!(available(), "the processor has AVX2");
    // SAFETY: the line above asserts that the processor has the feature (the library caches the answer).
    unsafe { with_features(state, data) }
}

/// Whether this processor and its operating system support it.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

#[target_feature(enable = "avx2")]
fn with_features(state: &mut State<4>, data: &[&[u8]; 4]) {
    rounds::compress::<4, Words>(state, data);
}

#[derive(Clone, Copy)]
struct Words(__m256i);

impl Vector<4> for Words {
    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm256_set1_epi64x(word.cast_signed()) })
    }

    #[inline(always)]
    fn from_words(words: &[u64; 4]) -> Self {
        // SAFETY: see the top of the file; the array has 32 bytes, and the load needs no alignment.
        Words(unsafe { _mm256_loadu_si256(words.as_ptr().cast()) })
    }

    #[inline(always)]
    fn to_words(self) -> [u64; 4] {
        let mut words = [0; 4];
        // SAFETY: see the top of the file; the array has 32 bytes, and the store needs no alignment.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), self.0) };
        words
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm256_add_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn choose(self, y: Self, z: Self) -> Self {
        // Equals (x & y) ^ (!x & z), with one operation less.
        z.xor(self.and(y.xor(z)))
    }

    #[inline(always)]
    fn majority(self, y: Self, z: Self) -> Self {
        // Equals (x & y) ^ (x & z) ^ (y & z), with one operation less.
        y.xor(self.xor(y).and(z.xor(y)))
    }

    #[inline(always)]
    fn big_sigma0(self) -> Self {
        self.ror::<28, 36>().xor(self.ror::<34, 30>()).xor(self.ror::<39, 25>())
    }

    #[inline(always)]
    fn big_sigma1(self) -> Self {
        self.ror::<14, 50>().xor(self.ror::<18, 46>()).xor(self.ror::<41, 23>())
    }

    #[inline(always)]
    fn small_sigma0(self) -> Self {
        self.ror::<1, 63>().xor(self.ror::<8, 56>()).xor(self.shr::<7>())
    }

    #[inline(always)]
    fn small_sigma1(self) -> Self {
        self.ror::<19, 45>().xor(self.ror::<61, 3>()).xor(self.shr::<6>())
    }

    #[inline(always)]
    fn load(data: &[&[u8]; 4], at: usize) -> [Self; 16] {
        // SAFETY: see the top of the file.
        unsafe { load(data, at) }
    }
}

impl Words {
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm256_and_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn shr<const BITS: i32>(self) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm256_srli_epi64::<BITS>(self.0) })
    }

    /// Rotates right by `RIGHT` bits. `LEFT` is 64 minus `RIGHT`. AVX2 has only shifts.
    #[inline(always)]
    fn ror<const RIGHT: i32, const LEFT: i32>(self) -> Self {
        const { assert!(RIGHT + LEFT == 64) };
        // SAFETY: see the top of the file.
        let left = Words(unsafe { _mm256_slli_epi64::<LEFT>(self.0) });
        self.shr::<RIGHT>().xor(left)
    }
}

// The functions below enable the feature themselves. They call no function without it, such as library functions that
// take closures: the compiler would not inline the instructions there.

#[inline]
#[target_feature(enable = "avx2")]
fn load(data: &[&[u8]; 4], at: usize) -> [Words; 16] {
    let mut words = [Words(_mm256_setzero_si256()); 16];
    for quarter in 0..4 {
        let mut rows = [_mm256_setzero_si256(); 4];
        for (row, lane) in rows.iter_mut().zip(data) {
            *row = big_endian(lane, at + 32 * quarter);
        }
        words[4 * quarter..4 * quarter + 4].copy_from_slice(&transpose(rows));
    }
    words
}

/// Four big-endian words of one lane.
#[inline]
#[target_feature(enable = "avx2")]
fn big_endian(lane: &[u8], at: usize) -> __m256i {
    let bytes: &[u8] = &lane[at..at + 32];
    // SAFETY: `bytes` has 32 bytes, and the load needs no alignment.
    let words = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
    let swap = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0809_0a0b_0c0d_0e0f, 0x0001_0203_0405_0607));
    _mm256_shuffle_epi8(words, swap)
}

/// Turns four words of each lane into one vector for each word.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(r: [__m256i; 4]) -> [Words; 4] {
    let (even, odd) = (_mm256_unpacklo_epi64(r[0], r[1]), _mm256_unpackhi_epi64(r[0], r[1]));
    let (even2, odd2) = (_mm256_unpacklo_epi64(r[2], r[3]), _mm256_unpackhi_epi64(r[2], r[3]));
    [
        Words(_mm256_permute2x128_si256::<0x20>(even, even2)),
        Words(_mm256_permute2x128_si256::<0x20>(odd, odd2)),
        Words(_mm256_permute2x128_si256::<0x31>(even, even2)),
        Words(_mm256_permute2x128_si256::<0x31>(odd, odd2)),
    ]
}

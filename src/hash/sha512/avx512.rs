//! Eight messages at once, in the 512-bit registers of AVX-512 (F and BW).
//!
//! The only `unsafe` code here is calls of intrinsics. Each is sound on a processor with AVX-512F and AVX-512BW, and
//! all code in this file runs only through [`compress`], which checks that. All loads and stores go through references
//! to arrays of exactly the size of a register.
#![allow(unsafe_code)]

use super::State;
use super::rounds::{self, Vector};
use std::arch::x86_64::*;

/// Processes all 128-byte blocks of `data` into `state`. All slices have the same length, a multiple of 128.
///
/// Panics on a processor without AVX-512. Check with [`available`] first.
pub(super) fn compress(state: &mut State<8>, data: &[&[u8]; 8]) {
    assert!(available(), "the processor has AVX-512");
    // SAFETY: the line above asserts that the processor has both features (the library caches the answer).
    unsafe { with_features(state, data) }
}

/// Whether this processor and its operating system support it.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

#[target_feature(enable = "avx512f,avx512bw")]
fn with_features(state: &mut State<8>, data: &[&[u8]; 8]) {
    rounds::compress::<8, Words>(state, data);
}

#[derive(Clone, Copy)]
struct Words(__m512i);

/// The three-input truth tables of Ch and Maj (FIPS 180-4) and of x ^ y ^ z.
const CH: i32 = 0xca;
const MAJ: i32 = 0xe8;
const XOR: i32 = 0x96;

impl Vector<8> for Words {
    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm512_set1_epi64(word.cast_signed()) })
    }

    #[inline(always)]
    fn from_words(words: &[u64; 8]) -> Self {
        // SAFETY: see the top of the file; the array has 64 bytes, and the load needs no alignment.
        Words(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) })
    }

    #[inline(always)]
    fn to_words(self) -> [u64; 8] {
        let mut words = [0; 8];
        // SAFETY: see the top of the file; the array has 64 bytes, and the store needs no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), self.0) };
        words
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm512_add_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn choose(self, y: Self, z: Self) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm512_ternarylogic_epi64::<CH>(self.0, y.0, z.0) })
    }

    #[inline(always)]
    fn majority(self, y: Self, z: Self) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm512_ternarylogic_epi64::<MAJ>(self.0, y.0, z.0) })
    }

    #[inline(always)]
    fn big_sigma0(self) -> Self {
        self.ror::<28>().xor3(self.ror::<34>(), self.ror::<39>())
    }

    #[inline(always)]
    fn big_sigma1(self) -> Self {
        self.ror::<14>().xor3(self.ror::<18>(), self.ror::<41>())
    }

    #[inline(always)]
    fn small_sigma0(self) -> Self {
        self.ror::<1>().xor3(self.ror::<8>(), self.shr::<7>())
    }

    #[inline(always)]
    fn small_sigma1(self) -> Self {
        self.ror::<19>().xor3(self.ror::<61>(), self.shr::<6>())
    }

    #[inline(always)]
    fn load(data: &[&[u8]; 8], at: usize) -> [Self; 16] {
        // SAFETY: see the top of the file.
        unsafe { load(data, at) }
    }
}

impl Words {
    #[inline(always)]
    fn ror<const BITS: i32>(self) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm512_ror_epi64::<BITS>(self.0) })
    }

    #[inline(always)]
    fn shr<const BITS: u32>(self) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm512_srli_epi64::<BITS>(self.0) })
    }

    #[inline(always)]
    fn xor3(self, y: Self, z: Self) -> Self {
        // SAFETY: see the top of the file.
        Words(unsafe { _mm512_ternarylogic_epi64::<XOR>(self.0, y.0, z.0) })
    }
}

// The functions below enable the features themselves. They call no function without them, such as library functions
// that take closures: the compiler would not inline the instructions there.

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(data: &[&[u8]; 8], at: usize) -> [Words; 16] {
    let mut words = [Words(_mm512_setzero_si512()); 16];
    for half in 0..2 {
        let mut rows = [_mm512_setzero_si512(); 8];
        for (row, lane) in rows.iter_mut().zip(data) {
            *row = big_endian(lane, at + 64 * half);
        }
        words[8 * half..8 * half + 8].copy_from_slice(&transpose(rows));
    }
    words
}

/// Eight big-endian words of one lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn big_endian(lane: &[u8], at: usize) -> __m512i {
    let bytes: &[u8] = &lane[at..at + 64];
    // SAFETY: `bytes` has 64 bytes, and the load needs no alignment.
    let words = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
    let swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0809_0a0b_0c0d_0e0f, 0x0001_0203_0405_0607));
    _mm512_shuffle_epi8(words, swap)
}

/// Turns eight words of each lane into one vector for each word.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(r: [__m512i; 8]) -> [Words; 8] {
    let [e0, e4, e2, e6] = gather([
        _mm512_unpacklo_epi64(r[0], r[1]),
        _mm512_unpacklo_epi64(r[2], r[3]),
        _mm512_unpacklo_epi64(r[4], r[5]),
        _mm512_unpacklo_epi64(r[6], r[7]),
    ]);
    let [o1, o5, o3, o7] = gather([
        _mm512_unpackhi_epi64(r[0], r[1]),
        _mm512_unpackhi_epi64(r[2], r[3]),
        _mm512_unpackhi_epi64(r[4], r[5]),
        _mm512_unpackhi_epi64(r[6], r[7]),
    ]);
    [Words(e0), Words(o1), Words(e2), Words(o3), Words(e4), Words(o5), Words(e6), Words(o7)]
}

/// Takes four vectors of four pairs each. Returns vectors of all first pairs, third pairs, second pairs and fourth
/// pairs, in this order.
#[inline]
#[target_feature(enable = "avx512f")]
fn gather(p: [__m512i; 4]) -> [__m512i; 4] {
    let (a, b) = (_mm512_shuffle_i64x2::<0x88>(p[0], p[1]), _mm512_shuffle_i64x2::<0x88>(p[2], p[3]));
    let (c, d) = (_mm512_shuffle_i64x2::<0xdd>(p[0], p[1]), _mm512_shuffle_i64x2::<0xdd>(p[2], p[3]));
    [
        _mm512_shuffle_i64x2::<0x88>(a, b),
        _mm512_shuffle_i64x2::<0xdd>(a, b),
        _mm512_shuffle_i64x2::<0x88>(c, d),
        _mm512_shuffle_i64x2::<0xdd>(c, d),
    ]
}

//! The compression function of SHA-512 (FIPS 180-4, 6.4), for as many messages at once as a vector has words.
//!
//! It is written once over [`Vector`]. Each instruction set provides the vector and the loads. Everything here is
//! inlined into the one function of an instruction set that has its `target_feature`, so that the compiler may use its
//! registers.

use super::State;

/// The words of one kind, such as `a` or `W[3]`, of several messages. Each message has a lane.
pub(super) trait Vector<const LANES: usize>: Copy {
    /// A vector with `word` in every lane.
    fn splat(word: u64) -> Self;
    /// A vector from one word per lane.
    fn from_words(words: &[u64; LANES]) -> Self;
    /// The words of the lanes.
    fn to_words(self) -> [u64; LANES];
    /// The sum modulo 2^64.
    fn add(self, other: Self) -> Self;
    /// Ch(self, y, z) of FIPS 180-4.
    fn choose(self, y: Self, z: Self) -> Self;
    /// Maj(self, y, z) of FIPS 180-4.
    fn majority(self, y: Self, z: Self) -> Self;
    /// Σ0.
    fn big_sigma0(self) -> Self;
    /// Σ1.
    fn big_sigma1(self) -> Self;
    /// σ0.
    fn small_sigma0(self) -> Self;
    /// σ1.
    fn small_sigma1(self) -> Self;
    /// The 16 big-endian words of the 128 bytes at `at` of each lane's data, transposed: the first vector holds the
    /// first word of every lane.
    fn load(data: &[&[u8]; LANES], at: usize) -> [Self; 16];
}

/// Processes all 128-byte blocks of `data` into `state`. All slices have the same length, a multiple of 128.
#[inline(always)]
pub(super) fn compress<const LANES: usize, V: Vector<LANES>>(
    state: &mut State<LANES>,
    data: &[&[u8]; LANES],
) {
    let length = data.iter().map(|lane| lane.len()).min().unwrap_or(0);
    let mut s = [V::splat(0); 8];
    for (vector, words) in s.iter_mut().zip(state.iter()) {
        *vector = V::from_words(words);
    }
    for at in (0..length).step_by(super::BLOCK) {
        let before = s;
        let mut w = V::load(data, at);
        sixteen_rounds(&mut s, &w, 0);
        for first in [16, 32, 48, 64] {
            schedule(&mut w);
            sixteen_rounds(&mut s, &w, first);
        }
        for (word, before) in s.iter_mut().zip(before) {
            *word = word.add(before);
        }
    }
    for (words, vector) in state.iter_mut().zip(s) {
        *words = vector.to_words();
    }
}

/// Rounds `first` to `first + 15`. Each round renames the eight words instead of moving them.
#[inline(always)]
fn sixteen_rounds<const LANES: usize, V: Vector<LANES>>(s: &mut [V; 8], w: &[V; 16], first: usize) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *s;
    let k = &K[first..first + 16];
    macro_rules! round {
        ($t:expr, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
            let kw = V::splat(k[$t]).add(w[$t]);
            let t1 = $h.add(kw).add($e.choose($f, $g)).add($e.big_sigma1());
            $d = $d.add(t1);
            $h = t1.add($a.big_sigma0()).add($a.majority($b, $c));
        };
    }
    macro_rules! eight_rounds {
        ($t:expr) => {
            round!($t, a b c d e f g h);
            round!($t + 1, h a b c d e f g);
            round!($t + 2, g h a b c d e f);
            round!($t + 3, f g h a b c d e);
            round!($t + 4, e f g h a b c d);
            round!($t + 5, d e f g h a b c);
            round!($t + 6, c d e f g h a b);
            round!($t + 7, b c d e f g h a);
        };
    }
    eight_rounds!(0);
    eight_rounds!(8);
    *s = [a, b, c, d, e, f, g, h];
}

/// Computes the next 16 words of the message schedule in place of the last 16.
#[inline(always)]
fn schedule<const LANES: usize, V: Vector<LANES>>(w: &mut [V; 16]) {
    macro_rules! next {
        ($($t:literal)*) => {$(
            w[$t] = w[$t]
                .add(w[($t + 1) % 16].small_sigma0())
                .add(w[($t + 9) % 16])
                .add(w[($t + 14) % 16].small_sigma1());
        )*};
    }
    next!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

/// FIPS 180-4, 4.2.3: the first 64 bits of the fractional parts of the cube roots of the first 80 primes.
#[rustfmt::skip]
static K: [u64; 80] = [
    0x428a_2f98_d728_ae22, 0x7137_4491_23ef_65cd, 0xb5c0_fbcf_ec4d_3b2f, 0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538, 0x59f1_11f1_b605_d019, 0x923f_82a4_af19_4f9b, 0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242, 0x1283_5b01_4570_6fbe, 0x2431_85be_4ee4_b28c, 0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f, 0x80de_b1fe_3b16_96b1, 0x9bdc_06a7_25c7_1235, 0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2, 0xefbe_4786_384f_25e3, 0x0fc1_9dc6_8b8c_d5b5, 0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275, 0x4a74_84aa_6ea6_e483, 0x5cb0_a9dc_bd41_fbd4, 0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab, 0xa831_c66d_2db4_3210, 0xb003_27c8_98fb_213f, 0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2, 0xd5a7_9147_930a_a725, 0x06ca_6351_e003_826f, 0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc, 0x2e1b_2138_5c26_c926, 0x4d2c_6dfc_5ac4_2aed, 0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de, 0x766a_0abb_3c77_b2a8, 0x81c2_c92e_47ed_aee6, 0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364, 0xa81a_664b_bc42_3001, 0xc24b_8b70_d0f8_9791, 0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218, 0xd699_0624_5565_a910, 0xf40e_3585_5771_202a, 0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8, 0x1e37_6c08_5141_ab53, 0x2748_774c_df8e_eb99, 0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63, 0x4ed8_aa4a_e341_8acb, 0x5b9c_ca4f_7763_e373, 0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc, 0x78a5_636f_4317_2f60, 0x84c8_7814_a1f0_ab72, 0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28, 0xa450_6ceb_de82_bde9, 0xbef9_a3f7_b2c6_7915, 0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c, 0xd186_b8c7_21c0_c207, 0xeada_7dd6_cde0_eb1e, 0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba, 0x0a63_7dc5_a2c8_98a6, 0x113f_9804_bef9_0dae, 0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84, 0x32ca_ab7b_40c7_2493, 0x3c9e_be0a_15c9_bebc, 0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6, 0x597f_299c_fc65_7e2a, 0x5fcb_6fab_3ad6_faec, 0x6c44_198c_4a47_5817,
];

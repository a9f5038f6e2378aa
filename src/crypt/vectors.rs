//! The state of the processor's vector registers.
#![allow(unsafe_code)]

/// Marks the upper parts of the vector registers as unused.
///
/// Code for the plain architecture (SSE) runs several times slower on Intel's processors while they hold something: each of
/// its instructions must keep what is there. Compilers clean up behind what they know to have written them; not all
/// libraries with instructions of their own do. To be called between such a library and a long computation.
pub(super) fn clear_upper() {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        // SAFETY: the processor has AVX, as just asked. The instruction changes only what no value of the
        // compiler's outlives a call in: the upper parts of the registers belong to the called function.
        unsafe { std::arch::x86_64::_mm256_zeroupper() }
    }
}

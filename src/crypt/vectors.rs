//! The state of the processor's vector registers.
#![allow(unsafe_code)]

/// Marks the upper parts of the vector registers as unused.
///
/// While they hold data, plain (SSE) code runs several times slower on Intel processors, because each instruction has
/// to preserve them. Compilers clear the registers after their own vector code, but some libraries with vector code do
/// not. Call this between such a library and a long computation.
pub(super) fn clear_upper() {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        // SAFETY: the check above says that the processor has AVX. The instruction changes only the upper parts of the
        // registers. They belong to the called function, so the compiler keeps no value in them across a call.
        unsafe { std::arch::x86_64::_mm256_zeroupper() }
    }
}

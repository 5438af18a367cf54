//! The system's allocator, told what a broker needs of it. The only place with unsafe code.
//!
//! glibc raises the size from which it maps memory of its own to the largest buffer that was ever
//! freed. After one large message every buffer comes from its heaps, and a backlog that was drained
//! leaves most of its memory there: 250 to 360 MB were measured after 1 KiB messages, 30 MB with
//! what is done here.
#![allow(
    unsafe_code,
    reason = "mallopt and malloc_trim are reached through C only"
)]

/// Buffers from this size on are mappings of their own, and return to the system when freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: libc::c_int = 1 << 20;

/// Sets the allocator up. Once, before there are threads.
pub(crate) fn set_up() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt takes two integers and changes parameters of the allocator only. It is not
    // safe beside allocations of other threads; there are none yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
    }
}

/// Returns memory that is free inside the allocator to the system. Takes milliseconds.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim may be called at any time by any thread, and touches no memory in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

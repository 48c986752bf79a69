//! What glibc's allocator keeps. Elsewhere these do nothing: musl has no arenas and gives memory back by itself.
#![allow(unsafe_code)]

/// At most `count` arenas, so that threads share instead of each having its own. For threads still to come.
pub fn limit_arenas(count: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers and keeps no pointer; allowed at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, count);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = count;
}

/// Gives free memory of the heap back to the kernel.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointer goes in or out; glibc locks its arenas itself.
    unsafe {
        libc::malloc_trim(0);
    }
}

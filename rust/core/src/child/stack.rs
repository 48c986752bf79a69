//! What a child runs on until it has a program of its own.

use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use rustix::mm::{mmap_anonymous, mprotect, munmap, MapFlags, MprotectFlags, ProtFlags};

/// What the child does with its stack is a few system calls: this is ample.
pub(super) const STACK_SIZE: usize = 32 * 1024;
/// Below the stack, to make an overflow a fault.
const GUARD_SIZE: usize = 64 * 1024;

/// Stacks kept for later launches; more than this many launches at one moment make their own.
const KEPT_STACKS: usize = 8;

/// Stacks that no child uses.
static STACKS: Mutex<Vec<Stack>> = Mutex::new(Vec::new());

/// A private mapping with a guard below; the address of the mapping.
#[derive(Debug)]
pub(super) struct Stack(usize);

impl Stack {
    pub(super) fn new() -> io::Result<Self> {
        if let Some(kept) = STACKS.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(kept);
        }
        let size = GUARD_SIZE + STACK_SIZE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new anonymous mapping wherever the kernel likes; it replaces nothing.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), size, access, flags) }?;
        let stack = Self(base as usize);
        // SAFETY: the lower part of our own mapping, which nothing points into.
        unsafe { mprotect(base, GUARD_SIZE, MprotectFlags::empty()) }?;
        Ok(stack)
    }

    pub(super) fn bottom(&self) -> *mut c_void {
        (self.0 + GUARD_SIZE) as *mut c_void
    }

    /// For the next launch; there is nothing on it that anybody needs.
    pub(super) fn keep(self) {
        let mut kept = STACKS.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_STACKS {
            kept.push(self);
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own whole mapping, which no child uses any more: it has ended or executed another. A failure
        // would leak 96 kB of address space and can only come from wrong arguments.
        let _ = unsafe { munmap(self.0 as *mut c_void, GUARD_SIZE + STACK_SIZE) };
    }
}

//! The extension module `kata_hybrid._core`: what Python cannot do safely or fast enough.
//!
//! Bytes, numbers and descriptors go in and out; no policy and nothing of the OCI specification is here. A
//! descriptor that goes in is borrowed for the call; one that comes out is the caller's, close-on-exec. The
//! interpreter's lock is released around everything that may block. The Python side of each name is documented
//! in `python/kata_hybrid/_core.pyi`.

pub mod child;
pub mod device_bpf;
pub mod error;
pub mod fallback;
pub mod files;
pub mod image;
pub mod launch;
pub mod memory;
pub mod message;
pub mod path;
pub mod probe;
pub mod process;
mod py;
pub mod reaper;
pub mod seccomp;
pub mod spawn;
pub mod sys;

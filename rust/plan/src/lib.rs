//! What kata-init can be told to do, and how it is written as bytes.
//!
//! The plan is made by `kata_hybrid.plan` and read by kata-init where it lies: nothing is copied or allocated.
//! Decoding is total: any bytes give a plan or an error with the offset. No system calls here.
#![no_std]
#![forbid(unsafe_code)]

mod codec;
mod step;

pub use codec::{DecodeError, Field, List, Plan, StepIter};
pub use step::Step;

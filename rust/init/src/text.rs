//! Text in fixed buffers.

use core::ffi::CStr;

use crate::raw::{Errno, ENAMETOOLONG};

/// Up to `N` bytes; what does not fit is cut.
pub(crate) struct Buffer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Buffer<N> {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    pub(crate) fn push(&mut self, more: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let len = more.len().min(room.len());
        room[..len].copy_from_slice(&more[..len]);
        self.len += len;
    }

    pub(crate) fn push_number(&mut self, value: i64) {
        if value < 0 {
            self.push(b"-");
        }
        let mut digits = [0_u8; 20];
        let mut rest = value.unsigned_abs();
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 || at == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// As a C string; an error when the text filled the buffer and may have been cut.
    pub(crate) fn as_cstr(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| ENAMETOOLONG)
    }
}

/// `<prefix><number>`, such as `/proc/self/fd/7`.
pub(crate) fn numbered(prefix: &[u8], number: i32) -> Buffer<32> {
    let mut out = Buffer::new();
    out.push(prefix);
    out.push_number(i64::from(number));
    out
}

/// The host's name for an open file. Only used before the root changes, when `/proc` is the host's.
pub(crate) fn fd_path(fd: i32) -> Buffer<32> {
    numbered(b"/proc/self/fd/", fd)
}

/// A decimal descriptor number.
pub(crate) fn parse_fd(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0_i32, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(i32::from(digit - b'0')),
        _ => None,
    })
}

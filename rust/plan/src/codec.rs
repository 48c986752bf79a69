//! Bytes to fields. Form: `KHP1`, u32 count, then per step u8 opcode, u8 field count, fields.
//!
//! A field is a tag and a value, little endian: 0 is an i64, 1 is bytes (u32 length), 2 is a list of bytes
//! (u32 count). Bytes are followed by a NUL that the length does not count, so they serve as C strings in place.

use core::ffi::CStr;
use core::fmt;

use crate::step::Step;

const MAGIC: &[u8; 4] = b"KHP1";

/// Why bytes are not a plan, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// Byte offset from the start of the plan.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: expected {}", self.offset, self.expected)
    }
}

/// A launch plan over borrowed bytes.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    bytes: &'a [u8],
    count: u32,
}

impl<'a> Plan<'a> {
    /// Check the header.
    ///
    /// # Errors
    /// The magic is missing or the bytes end before the count does.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader { bytes, at: 0 };
        if reader.take(4, "magic KHP1")? != MAGIC {
            return Err(DecodeError { offset: 0, expected: "magic KHP1" });
        }
        let count = reader.u32("step count")?;
        Ok(Self { bytes, count })
    }

    /// The steps in order; each decoded when it is asked for.
    #[must_use]
    pub fn steps(&self) -> StepIter<'a> {
        StepIter { reader: Reader { bytes: self.bytes, at: 8 }, left: self.count }
    }
}

/// Decodes one step after the other and ends at the first error.
#[derive(Debug, Clone)]
pub struct StepIter<'a> {
    reader: Reader<'a>,
    left: u32,
}

impl<'a> Iterator for StepIter<'a> {
    type Item = Result<Step<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let step = Step::decode(&mut self.reader);
        if step.is_err() {
            self.left = 0;
        }
        Some(step)
    }
}

/// A position in the plan's bytes.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn error(&self, expected: &'static str) -> DecodeError {
        DecodeError { offset: self.at, expected }
    }

    fn take(&mut self, len: usize, expected: &'static str) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(len).ok_or(self.error(expected))?;
        let part = self.bytes.get(self.at..end).ok_or(self.error(expected))?;
        self.at = end;
        Ok(part)
    }

    pub(crate) fn u8(&mut self, expected: &'static str) -> Result<u8, DecodeError> {
        match self.take(1, expected)? {
            [byte] => Ok(*byte),
            _ => Err(self.error(expected)),
        }
    }

    fn u32(&mut self, expected: &'static str) -> Result<u32, DecodeError> {
        match self.take(4, expected)?.try_into() {
            Ok(raw) => Ok(u32::from_le_bytes(raw)),
            Err(_) => Err(self.error(expected)),
        }
    }

    fn tag(&mut self, tag: u8, expected: &'static str) -> Result<(), DecodeError> {
        let offset = self.at;
        if self.u8(expected)? == tag {
            Ok(())
        } else {
            Err(DecodeError { offset, expected })
        }
    }

    /// The value with its NUL.
    fn blob(&mut self, expected: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.u32(expected)? as usize;
        let with_nul = self.take(len.checked_add(1).ok_or(self.error(expected))?, expected)?;
        if with_nul.last() == Some(&0) {
            Ok(with_nul)
        } else {
            Err(self.error("NUL after the value"))
        }
    }

    fn text(&mut self, expected: &'static str) -> Result<&'a CStr, DecodeError> {
        let offset = self.at;
        CStr::from_bytes_with_nul(self.blob(expected)?)
            .map_err(|_| DecodeError { offset, expected: "text without NUL" })
    }
}

/// How a Rust type is read from one field.
pub trait Field<'a>: Sized {
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;
}

#[allow(private_interfaces)]
impl<'a> Field<'a> for i64 {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.tag(0, "number field")?;
        match reader.take(8, "eight bytes")?.try_into() {
            Ok(raw) => Ok(i64::from_le_bytes(raw)),
            Err(_) => Err(reader.error("eight bytes")),
        }
    }
}

#[allow(private_interfaces)]
impl<'a> Field<'a> for &'a [u8] {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.tag(1, "bytes field")?;
        let with_nul = reader.blob("bytes")?;
        Ok(with_nul.split_last().map_or(&[], |(_, data)| data))
    }
}

#[allow(private_interfaces)]
impl<'a> Field<'a> for &'a CStr {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.tag(1, "text field")?;
        reader.text("text")
    }
}

/// A list of texts, checked when it was decoded.
#[derive(Clone)]
pub struct List<'a> {
    reader: Reader<'a>,
    left: u32,
}

impl List<'_> {
    /// Number of texts left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.left as usize
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<&'a CStr> {
        self.left = self.left.checked_sub(1)?;
        self.reader.text("text").ok()
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

#[allow(private_interfaces)]
impl<'a> Field<'a> for List<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.tag(2, "list field")?;
        let count = reader.u32("list count")?;
        let list = List { reader: reader.clone(), left: count };
        for _ in 0..count {
            reader.text("list item")?;
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn text(out: &mut Vec<u8>, value: &[u8]) {
        out.push(1);
        out.extend((value.len() as u32).to_le_bytes());
        out.extend(value);
        out.push(0);
    }

    fn plan(count: u32, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::from(*MAGIC);
        out.extend(count.to_le_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn a_text_step_is_read_in_place() {
        let mut body = std::vec![24, 1];
        text(&mut body, b"box");
        let bytes = plan(1, &body);
        let steps: Vec<_> = Plan::new(&bytes).unwrap().steps().collect();
        assert!(matches!(&steps[..], [Ok(Step::Hostname { name })] if *name == c"box"));
    }

    #[test]
    fn an_inner_nul_is_refused_with_its_place() {
        let mut body = std::vec![24, 1];
        text(&mut body, b"b\0x");
        let bytes = plan(1, &body);
        let error = Plan::new(&bytes).unwrap().steps().next().unwrap().unwrap_err();
        assert_eq!((error.offset, error.expected), (11, "text without NUL"));
    }

    #[test]
    fn a_wrong_field_count_is_refused() {
        let bytes = plan(1, &[9, 1, 0]);
        assert!(Plan::new(&bytes).unwrap().steps().next().unwrap().is_err());
    }

    #[test]
    fn no_bytes_make_it_panic_or_run_on() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..200_000 {
            let mut bytes = plan(3, &[]);
            for _ in 0..round % 60 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                bytes.push(if seed & 3 == 0 { (seed >> 8) as u8 & 3 } else { (seed >> 8) as u8 });
            }
            if let Ok(plan) = Plan::new(&bytes) {
                assert!(plan.steps().count() <= 3);
            }
        }
    }
}

//! `json_loads`, `json_dumps`: the part of JSON that state and configuration files are made of.
//!
//! Whatever is unusual (a float, an integer beyond 64 bits, half a surrogate pair, deep nesting) and whatever
//! is wrong is refused with `ValueError`; `kata_hybrid._json` then asks the `json` package, so that values
//! and error texts are always its own.

use std::fmt;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyString, PyTuple};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::Deserializer;

/// As deep as `serde_json` reads.
const MAX_DEPTH: usize = 128;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// The value of a JSON text.
#[pyfunction]
pub(super) fn json_loads<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let mut source = serde_json::Deserializer::from_slice(data);
    Reading { py }
        .deserialize(&mut source)
        .and_then(|value| source.end().map(|()| value))
        .map_err(|err| PyValueError::new_err(err.to_string()))
}

/// A value as JSON: one line without blanks, or with `indent` blanks a level.
#[pyfunction]
#[pyo3(signature = (value, *, ensure_ascii = true, indent = 0))]
pub(super) fn json_dumps<'py>(
    value: &Bound<'py, PyAny>,
    ensure_ascii: bool,
    indent: usize,
) -> PyResult<Bound<'py, PyString>> {
    let mut writing = Writing { out: String::with_capacity(4096), ascii: ensure_ascii, indent, depth: 0 };
    writing.value(value)?;
    Ok(PyString::new(value.py(), &writing.out))
}

/// Makes Python objects while the text is read.
#[derive(Clone, Copy)]
struct Reading<'py> {
    py: Python<'py>,
}

impl<'de, 'py> DeserializeSeed<'de> for Reading<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Reading<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value without floats")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.py, value).to_owned().into_any())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(PyInt::new(self.py, value).into_any())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(PyInt::new(self.py, value).into_any())
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.py, value).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.py);
        while let Some(item) = items.next_element_seed(self)? {
            list.append(item).map_err(A::Error::custom)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.py);
        while let Some(key) = members.next_key_seed(Key { py: self.py })? {
            let value = members.next_value_seed(self)?;
            dict.set_item(key, value).map_err(A::Error::custom)?; // of equal keys the last one counts
        }
        Ok(dict.into_any())
    }
}

/// A member's name, of which there is one object for all objects of the text.
struct Key<'py> {
    py: Python<'py>,
}

impl<'de, 'py> DeserializeSeed<'de> for Key<'py> {
    type Value = Bound<'py, PyString>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'de, 'py> Visitor<'de> for Key<'py> {
    type Value = Bound<'py, PyString>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a name")
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::intern(self.py, value))
    }
}

struct Writing {
    out: String,
    ascii: bool,
    indent: usize,
    depth: usize,
}

impl Writing {
    fn value(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(text) = value.downcast_exact::<PyString>() {
            self.text(text.to_str()?);
        } else if let Ok(flag) = value.downcast_exact::<PyBool>() {
            self.out.push_str(if flag.is_true() { "true" } else { "false" });
        } else if value.is_none() {
            self.out.push_str("null");
        } else if value.is_exact_instance_of::<PyInt>() {
            self.integer(value)?;
        } else if let Ok(list) = value.downcast_exact::<PyList>() {
            self.array(list.len(), list.iter())?;
        } else if let Ok(tuple) = value.downcast_exact::<PyTuple>() {
            self.array(tuple.len(), tuple.iter())?;
        } else if let Ok(dict) = value.downcast_exact::<PyDict>() {
            self.object(dict)?;
        } else {
            return Err(PyValueError::new_err("not a plain value"));
        }
        Ok(())
    }

    fn integer(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let digits = match value.extract::<i64>() {
            Ok(number) => number.to_string(),
            Err(_) => value
                .extract::<u64>()
                .map_err(|_| PyValueError::new_err("an integer beyond 64 bits"))?
                .to_string(),
        };
        self.out.push_str(&digits);
        Ok(())
    }

    fn array<'py>(&mut self, len: usize, items: impl Iterator<Item = Bound<'py, PyAny>>) -> PyResult<()> {
        if len == 0 {
            self.out.push_str("[]");
            return Ok(());
        }
        self.open('[')?;
        for (index, item) in items.enumerate() {
            self.start(index);
            self.value(&item)?;
        }
        self.close(']');
        Ok(())
    }

    fn object(&mut self, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        if dict.is_empty() {
            self.out.push_str("{}");
            return Ok(());
        }
        self.open('{')?;
        for (index, (key, value)) in dict.iter().enumerate() {
            self.start(index);
            let key = key.downcast_exact::<PyString>();
            self.text(key.map_err(|_| PyValueError::new_err("a key that is no text"))?.to_str()?);
            self.out.push_str(if self.indent == 0 { ":" } else { ": " });
            self.value(&value)?;
        }
        self.close('}');
        Ok(())
    }

    fn open(&mut self, bracket: char) -> PyResult<()> {
        if self.depth >= MAX_DEPTH {
            return Err(PyValueError::new_err("nested too deep"));
        }
        self.depth += 1;
        self.out.push(bracket);
        Ok(())
    }

    /// What stands before an item.
    fn start(&mut self, index: usize) {
        if index > 0 {
            self.out.push(',');
        }
        self.line();
    }

    fn close(&mut self, bracket: char) {
        self.depth -= 1;
        self.line();
        self.out.push(bracket);
    }

    fn line(&mut self) {
        if self.indent > 0 {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', self.indent * self.depth));
        }
    }

    /// As the `json` package escapes: short forms where there are some, else `\uXXXX` in UTF-16.
    fn text(&mut self, text: &str) {
        self.out.push('"');
        for char in text.chars() {
            match char {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                ' '..='~' => self.out.push(char),
                '\u{7f}'.. if !self.ascii => self.out.push(char),
                _ => char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| self.escape(*unit)),
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, unit: u16) {
        self.out.push_str("\\u");
        for shift in [12, 8, 4, 0] {
            self.out.push(char::from(HEX[usize::from(unit >> shift & 0xf)]));
        }
    }
}

//! HPACK decoding (RFC 7541). The answers need no encoder: they are a few constant bytes, see `send.rs`.

use std::collections::VecDeque;

use crate::huffman;

/// What we allow the peer's table, in the octets of section 4.1; the protocol's default.
const TABLE_LIMIT: usize = 4096;
/// Counted for each entry besides its text.
const ENTRY_OVERHEAD: usize = 32;

/// Appendix A. The index in the protocol starts at 1.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""),
    ("cache-control", ""), ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""),
    ("content-length", ""), ("content-location", ""), ("content-range", ""), ("content-type", ""),
    ("cookie", ""), ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""),
    ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""),
    ("retry-after", ""), ("server", ""), ("set-cookie", ""), ("strict-transport-security", ""),
    ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

/// The block cannot be read, and with it no later one of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The peer's table, and the reading of header blocks in their order.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The newest first.
    entries: VecDeque<(Vec<u8>, Vec<u8>)>,
    size: usize,
    limit: usize,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, limit: TABLE_LIMIT }
    }

    /// Calls `visit` with name and value of each field of a whole block.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Malformed> {
        let mut rest = Input(block);
        let mut fields = false;
        while let Some(&first) = rest.0.first() {
            if first & 0x80 != 0 {
                let (name, value) = self.entry(rest.integer(7)?)?;
                visit(name, value);
            } else if first & 0xc0 == 0x40 {
                let (name, value) = self.literal(&mut rest, 6)?;
                visit(&name, &value);
                self.insert(name, value);
            } else if first & 0xe0 == 0x20 {
                // A change of the table's size stands before the first field.
                let limit = rest.integer(5)?;
                if fields || limit > TABLE_LIMIT {
                    return Err(Malformed);
                }
                self.limit = limit;
                self.evict(0);
                continue;
            } else {
                let (name, value) = self.literal(&mut rest, 4)?;
                visit(&name, &value);
            }
            fields = true;
        }
        Ok(())
    }

    fn literal(&self, rest: &mut Input<'_>, prefix: u8) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
        let name = match rest.integer(prefix)? {
            0 => rest.text()?,
            index => self.entry(index)?.0.to_vec(),
        };
        Ok((name, rest.text()?))
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), Malformed> {
        let index = index.checked_sub(1).ok_or(Malformed)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let (name, value) = self.entries.get(index - STATIC.len()).ok_or(Malformed)?;
        Ok((name, value))
    }

    fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) {
        let size = name.len() + value.len() + ENTRY_OVERHEAD;
        self.evict(size);
        if size <= self.limit {
            self.size += size;
            self.entries.push_front((name, value));
        }
    }

    /// Makes room for `coming` octets; what is larger than the table empties it.
    fn evict(&mut self, coming: usize) {
        while self.size + coming > self.limit {
            let Some((name, value)) = self.entries.pop_back() else { return };
            self.size -= name.len() + value.len() + ENTRY_OVERHEAD;
        }
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(first)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Section 5.1. More than five octets are more than any length here can be.
    fn integer(&mut self, prefix: u8) -> Result<usize, Malformed> {
        let mask = (1_u8 << prefix) - 1;
        let start = self.byte()? & mask;
        let mut value = usize::from(start);
        if start < mask {
            return Ok(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn text(&mut self) -> Result<Vec<u8>, Malformed> {
        let compressed = self.0.first().ok_or(Malformed)? & 0x80 != 0;
        let length = self.integer(7)?;
        let raw = self.take(length)?;
        if !compressed {
            return Ok(raw.to_vec());
        }
        let mut out = Vec::with_capacity(length * 8 / 5);
        huffman::decode(raw, &mut out).map_err(|_| Malformed)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
        let mut seen = Vec::new();
        decoder.decode(block, &mut |name, value| {
            seen.push((String::from_utf8_lossy(name).into(), String::from_utf8_lossy(value).into()));
        })?;
        Ok(seen)
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    /// RFC 7541, C.4: three requests on one connection, with Huffman codes and the table growing.
    #[test]
    fn requests_of_the_rfc() {
        let mut decoder = Decoder::new();
        let mut first = vec![0x82, 0x86, 0x84, 0x41, 0x8c];
        first.extend([0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]);
        let mut expected =
            vec![(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
        assert_eq!(fields(&mut decoder, &first).unwrap(), pairs(&expected));
        assert_eq!(decoder.size, 57);
        let second = [0x82, 0x86, 0x84, 0xbe, 0x58, 0x86, 0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
        expected.push(("cache-control", "no-cache"));
        assert_eq!(fields(&mut decoder, &second).unwrap(), pairs(&expected));
        assert_eq!(decoder.size, 110);
    }

    #[test]
    fn the_table_forgets_the_oldest() {
        let mut decoder = Decoder::new();
        for number in 0..200 {
            let mut block = vec![0x40, 4];
            block.extend(format!("n{number:03}").as_bytes());
            block.extend([1, b'v']);
            fields(&mut decoder, &block).unwrap();
        }
        assert!(decoder.size <= TABLE_LIMIT);
        assert_eq!(fields(&mut decoder, &[0xbe]).unwrap(), pairs(&[("n199", "v")]));
        fields(&mut decoder, &[0x20]).unwrap();
        assert_eq!((decoder.size, decoder.entries.len()), (0, 0));
    }

    #[test]
    fn nonsense_is_refused() {
        let blocks: [&[u8]; 7] = [
            &[0x80],
            &[0xbf],
            &[0x40],
            &[0x82, 0x20],
            &[0x3f, 0xff, 0xff, 0x7f],
            &[0, 5, b'a'],
            &[0x40, 0x81, 0],
        ];
        for block in blocks {
            assert_eq!(fields(&mut Decoder::new(), block), Err(Malformed), "{block:x?}");
        }
        assert_eq!(fields(&mut Decoder::new(), &[0xff, 0xff, 0xff, 0xff, 0xff, 1]), Err(Malformed));
    }
}

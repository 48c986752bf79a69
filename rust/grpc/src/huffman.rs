//! HPACK's Huffman code (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and the first of
//! a length continues after the last of the shorter one. So the lengths say it all.

const LONGEST: usize = 30;

/// Bits of each octet's code. What is left over at the end, thirty ones, is EOS.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// By code length: the first code, how many there are, and where their symbols start.
struct Codes {
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    start: [usize; LONGEST + 1],
    symbols: [u8; 256],
}

const CODES: Codes = codes();

const fn codes() -> Codes {
    let mut codes = Codes {
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        start: [0; LONGEST + 1],
        symbols: [0; 256],
    };
    let mut placed = 0;
    let mut next = 0;
    let mut length = 1;
    while length <= LONGEST {
        next <<= 1;
        codes.first[length] = next;
        codes.start[length] = placed;
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                codes.symbols[placed] = symbol as u8;
                placed += 1;
                next += 1;
                codes.count[length] += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    codes
}

/// Appends the octets that `data` stands for.
///
/// # Errors
/// EOS in the text, or an end that is no padding of up to seven ones.
pub(crate) fn decode(data: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut bits: u64 = 0;
    let mut have: usize = 0;
    let mut rest = data.iter();
    loop {
        while have <= 56 {
            let Some(&byte) = rest.next() else { break };
            bits = bits << 8 | u64::from(byte);
            have += 8;
        }
        if have == 0 {
            return Ok(());
        }
        match symbol(bits, have) {
            Some((octet, length)) => {
                out.push(octet);
                have -= length;
            }
            None => return padding(bits, have),
        }
    }
}

/// The code at the front of the lowest `have` bits.
fn symbol(bits: u64, have: usize) -> Option<(u8, usize)> {
    (5..=LONGEST.min(have)).find_map(|length| {
        let code = (bits >> (have - length)) as u32 & ((1 << length) - 1);
        let index = code.wrapping_sub(CODES.first[length]);
        (index < CODES.count[length]).then(|| (CODES.symbols[CODES.start[length] + index as usize], length))
    })
}

fn padding(bits: u64, have: usize) -> Result<(), Malformed> {
    let ones = (1_u64 << have.min(8)) - 1;
    if have < 8 && bits & ones == ones {
        Ok(())
    } else {
        Err(Malformed)
    }
}

/// No Huffman text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::new();
        decode(data, &mut out).map(|()| out)
    }

    /// The reverse, for tests only: nothing we send is compressed.
    pub(crate) fn encode(text: &[u8]) -> Vec<u8> {
        let (mut out, mut bits, mut have) = (Vec::new(), 0_u64, 0);
        for &octet in text {
            let length = LENGTHS[octet as usize] as usize;
            let place = CODES.start[length];
            let rank = CODES.symbols[place..].iter().position(|&each| each == octet).unwrap();
            bits = bits << length | u64::from(CODES.first[length] + rank as u32);
            have += length;
            while have >= 8 {
                have -= 8;
                out.push((bits >> have) as u8);
            }
            bits &= (1 << have) - 1;
        }
        if have > 0 {
            out.push(((bits << (8 - have)) | ((1 << (8 - have)) - 1)) as u8);
        }
        out
    }

    #[test]
    fn examples_of_the_rfc() {
        // C.4.1, C.4.2, C.6.1
        let authority = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(text(&authority).unwrap(), b"www.example.com");
        assert_eq!(text(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).unwrap(), b"no-cache");
        assert_eq!(text(&[0x64, 0x02]).unwrap(), b"302");
    }

    #[test]
    fn every_octet_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(text(&encode(&all)).unwrap(), all);
    }

    #[test]
    fn eos_and_wrong_padding_are_refused() {
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xff]), Err(Malformed));
        assert_eq!(text(&[0xff]), Err(Malformed), "eight bits of padding");
        assert_eq!(text(&[0b00000_000]), Err(Malformed), "padding of zeros");
        assert_eq!(text(&[0b00000_111]).unwrap(), b"0");
    }
}

//! HTTP/2 frames (RFC 9113, sections 4 and 6): the header, the kinds, the codes.

pub(crate) const HEADER_BYTES: usize = 9;
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The payload that may be sent before the peer says otherwise, and that we take.
pub(crate) const DEFAULT_PAYLOAD: usize = 16_384;
pub(crate) const LARGEST_PAYLOAD: u32 = (1 << 24) - 1;
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;
pub(crate) const LARGEST_WINDOW: i64 = (1 << 31) - 1;

pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

pub(crate) mod flag {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

pub(crate) mod setting {
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// Why a connection ends (section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    None = 0,
    Protocol = 1,
    FlowControl = 3,
    FrameSize = 6,
    Refused = 7,
    Compression = 9,
    Calm = 11,
}

/// A connection error: what is told in GOAWAY.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fatal(pub(crate) Code, pub(crate) &'static str);

/// One frame where it lies.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the front of `input` and how long it is; `None` while it is not whole.
    pub(crate) fn parse(input: &'a [u8]) -> Result<Option<(Self, usize)>, Fatal> {
        let Some((&[high, middle, low, kind, flags, stream @ ..], rest)) =
            input.split_first_chunk::<HEADER_BYTES>()
        else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        if length > DEFAULT_PAYLOAD {
            return Err(Fatal(Code::FrameSize, "frame too large"));
        }
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        let frame = rest.get(..length).map(|payload| Self { kind, flags, stream, payload });
        Ok(frame.map(|frame| (frame, HEADER_BYTES + length)))
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload of DATA or HEADERS without padding and priority.
    pub(crate) fn content(&self) -> Result<&'a [u8], Fatal> {
        const SHORT: Fatal = Fatal(Code::Protocol, "padding longer than the frame");
        let mut content = self.payload;
        let mut padding = 0;
        if self.has(flag::PADDED) {
            let (&length, rest) = content.split_first().ok_or(SHORT)?;
            padding = usize::from(length);
            content = rest;
        }
        if self.kind == kind::HEADERS && self.has(flag::PRIORITY) {
            content = content.get(5..).ok_or(SHORT)?;
        }
        let length = content.len().checked_sub(padding).ok_or(SHORT)?;
        Ok(&content[..length])
    }

    /// The payload as a number: WINDOW_UPDATE, RST_STREAM.
    pub(crate) fn number(&self) -> Result<u32, Fatal> {
        let bytes: [u8; 4] = self.payload.try_into().map_err(|_| Fatal(Code::FrameSize, "wrong length"))?;
        Ok(u32::from_be_bytes(bytes))
    }
}

/// Appends a frame header; `length` is of the payload that follows.
pub(crate) fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

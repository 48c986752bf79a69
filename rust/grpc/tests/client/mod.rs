//! A client made of bytes.
#![allow(dead_code, reason = "each test takes what it needs")]

use kata_grpc::{Connection, Event};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const LIMIT: usize = 1 << 20;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// POST to `/s/Method` as gRPC, without the table.
pub(crate) fn fields() -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(":path", "/s/Method"), ("content-type", "application/grpc"), ("te", "trailers")] {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

pub(crate) fn message(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(data);
    out
}

pub(crate) fn call(stream: u32, data: &[u8]) -> Vec<u8> {
    let mut out = frame(HEADERS, END_HEADERS, stream, &fields());
    let whole = message(data);
    let mut chunks = whole.chunks(16_384).peekable();
    while let Some(chunk) = chunks.next() {
        out.extend(frame(DATA, if chunks.peek().is_none() { END_STREAM } else { 0 }, stream, chunk));
    }
    out
}

/// A connection whose preface and settings are behind it.
pub(crate) fn opened() -> Connection {
    let mut connection = Connection::new(LIMIT);
    assert!(connection.receive(PREFACE).is_empty());
    assert!(connection.receive(&frame(SETTINGS, 0, 0, &[])).is_empty());
    connection.take_output();
    connection
}

/// Kind, flags, stream and payload of each frame.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        found.push((bytes[3], bytes[4], stream, bytes[9..9 + length].to_vec()));
        bytes = &bytes[9 + length..];
    }
    found
}

pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

pub(crate) fn expected(stream: u32, data: &[u8]) -> Event {
    Event::Call { stream, path: b"/s/Method".to_vec(), message: data.to_vec() }
}

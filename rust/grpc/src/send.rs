//! What goes out: frames, header blocks, and the peer's windows.

use std::collections::{BTreeSet, HashMap};

use crate::frame::{
    self, flag, head, kind, setting, Code, Fatal, DEFAULT_PAYLOAD, DEFAULT_WINDOW, LARGEST_WINDOW,
};
use crate::request::{OVERHEAD, PREFIX_BYTES};

/// `:status 200`, `content-type: application/grpc`; fields without the table, so each block stands for itself.
const HEADERS: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0`.
const STATUS_OK: &[u8] = b"\x00\x0bgrpc-status\x010";

/// An answer that waits for the peer's window.
#[derive(Debug)]
struct Waiting {
    data: Vec<u8>,
    sent: usize,
}

/// Output of one connection.
#[derive(Debug)]
pub(crate) struct Sender {
    out: Vec<u8>,
    /// Octets that may still be sent on the connection.
    window: i64,
    /// Difference of a stream's window to the peer's initial one, where there is any.
    credit: HashMap<u32, i64>,
    initial_window: i64,
    payload: usize,
    waiting: HashMap<u32, Waiting>,
    /// Those of them whose stream's own window may be open: what is looked at when the connection's is.
    ready: BTreeSet<u32>,
    /// The initial window has grown, and with it that of streams that are not ready.
    initial_grown: bool,
    /// Memory of them all together, for as long as any byte of them waits.
    waiting_bytes: usize,
    /// Control frames since the output was last taken: a peer that asks and never reads.
    answers: usize,
}

const MOST_ANSWERS: usize = 10_000;
/// Answers wait for output to be taken when there is this much of it.
const ENOUGH_OUTPUT: usize = 256 * 1024;

impl Sender {
    pub(crate) fn new() -> Self {
        Self {
            out: Vec::new(),
            window: i64::from(DEFAULT_WINDOW),
            credit: HashMap::new(),
            initial_window: i64::from(DEFAULT_WINDOW),
            payload: DEFAULT_PAYLOAD,
            waiting: HashMap::new(),
            ready: BTreeSet::new(),
            initial_grown: false,
            waiting_bytes: 0,
            answers: 0,
        }
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.answers = 0;
        std::mem::take(&mut self.out)
    }

    /// Bytes that may wait for windows: not yet given to the connection.
    pub(crate) fn is_waiting(&self, stream: u32) -> bool {
        self.waiting.contains_key(&stream)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    // --- control ---------------------------------------------------------------------------------

    pub(crate) fn settings(&mut self, values: &[(u16, u32)]) {
        head(&mut self.out, values.len() * 6, kind::SETTINGS, 0, 0);
        for &(name, value) in values {
            self.out.extend_from_slice(&name.to_be_bytes());
            self.out.extend_from_slice(&value.to_be_bytes());
        }
    }

    pub(crate) fn acknowledge(&mut self, kind: u8, payload: &[u8]) -> Result<(), Fatal> {
        self.count()?;
        head(&mut self.out, payload.len(), kind, flag::ACK, 0);
        self.out.extend_from_slice(payload);
        Ok(())
    }

    pub(crate) fn window_update(&mut self, stream: u32, increment: u32) {
        head(&mut self.out, 4, kind::WINDOW_UPDATE, 0, stream);
        self.out.extend_from_slice(&increment.to_be_bytes());
    }

    pub(crate) fn reset(&mut self, stream: u32, code: Code) -> Result<(), Fatal> {
        self.count()?;
        head(&mut self.out, 4, kind::RST_STREAM, 0, stream);
        self.out.extend_from_slice(&(code as u32).to_be_bytes());
        Ok(())
    }

    pub(crate) fn goaway(&mut self, last: u32, code: Code, text: &str) {
        head(&mut self.out, 8 + text.len(), kind::GOAWAY, 0, 0);
        self.out.extend_from_slice(&last.to_be_bytes());
        self.out.extend_from_slice(&(code as u32).to_be_bytes());
        self.out.extend_from_slice(text.as_bytes());
    }

    fn count(&mut self) -> Result<(), Fatal> {
        self.answers += 1;
        if self.answers > MOST_ANSWERS {
            return Err(Fatal(Code::Calm, "too many frames that want an answer"));
        }
        Ok(())
    }

    // --- the peer's settings and windows ---------------------------------------------------------

    pub(crate) fn apply_settings(&mut self, payload: &[u8]) -> Result<(), Fatal> {
        if payload.len() % 6 != 0 {
            return Err(Fatal(Code::FrameSize, "wrong length of SETTINGS"));
        }
        for each in payload.chunks_exact(6) {
            let name = u16::from_be_bytes([each[0], each[1]]);
            let value = u32::from_be_bytes([each[2], each[3], each[4], each[5]]);
            match name {
                setting::INITIAL_WINDOW_SIZE if i64::from(value) > LARGEST_WINDOW => {
                    return Err(Fatal(Code::FlowControl, "initial window too large"));
                }
                setting::INITIAL_WINDOW_SIZE => {
                    self.initial_grown |= i64::from(value) > self.initial_window;
                    self.initial_window = i64::from(value);
                }
                setting::MAX_FRAME_SIZE => {
                    if (value as usize) < DEFAULT_PAYLOAD || value > frame::LARGEST_PAYLOAD {
                        return Err(Fatal(Code::Protocol, "impossible frame size"));
                    }
                    self.payload = value as usize;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Stream 0 is the connection.
    ///
    /// # Errors
    /// A window beyond the protocol's limit.
    pub(crate) fn grow_window(&mut self, stream: u32, increment: u32) -> Result<(), Fatal> {
        const OVERFLOW: Fatal = Fatal(Code::FlowControl, "window too large");
        let increment = i64::from(increment);
        if stream == 0 {
            self.window += increment;
            if self.window > LARGEST_WINDOW {
                return Err(OVERFLOW);
            }
        } else {
            let credit = self.credit.entry(stream).or_default();
            *credit += increment;
            let own = *credit + self.initial_window;
            if own > LARGEST_WINDOW {
                return Err(OVERFLOW);
            }
            if own > 0 && self.waiting.contains_key(&stream) {
                self.ready.insert(stream);
            }
        }
        Ok(())
    }

    // --- answers ---------------------------------------------------------------------------------

    /// Header fields, the message, and the status OK; what the windows do not take waits.
    pub(crate) fn answer(&mut self, stream: u32, message: &[u8]) {
        head(&mut self.out, HEADERS.len(), kind::HEADERS, flag::END_HEADERS, stream);
        self.out.extend_from_slice(HEADERS);
        let mut prefix = [0; PREFIX_BYTES];
        prefix[1..].copy_from_slice(&(message.len() as u32).to_be_bytes());
        let whole = (prefix.len() + message.len()) as i64;
        let fits = whole <= self.room(stream) && whole <= self.payload as i64;
        if fits && self.ready.is_empty() && self.out.len() < ENOUGH_OUTPUT {
            head(&mut self.out, whole as usize, kind::DATA, 0, stream);
            self.out.extend_from_slice(&prefix);
            self.out.extend_from_slice(message);
            self.window -= whole;
            self.finish(stream);
            return;
        }
        let mut data = Vec::with_capacity(whole as usize);
        data.extend_from_slice(&prefix);
        data.extend_from_slice(message);
        self.waiting_bytes += OVERHEAD + data.len();
        self.waiting.insert(stream, Waiting { data, sent: 0 });
        self.ready.insert(stream);
        self.flush();
    }

    fn own_window(&self, stream: u32) -> i64 {
        self.initial_window + self.credit.get(&stream).copied().unwrap_or(0)
    }

    fn room(&self, stream: u32) -> i64 {
        self.window.min(self.own_window(stream))
    }

    fn finish(&mut self, stream: u32) {
        self.credit.remove(&stream);
        let flags = flag::END_HEADERS | flag::END_STREAM;
        head(&mut self.out, STATUS_OK.len(), kind::HEADERS, flags, stream);
        self.out.extend_from_slice(STATUS_OK);
    }

    /// A status without a message.
    pub(crate) fn refuse(&mut self, stream: u32, code: u8, text: &str) {
        self.credit.remove(&stream);
        let mut block = HEADERS.to_vec();
        field(&mut block, "grpc-status", &code.to_string());
        if !text.is_empty() {
            field(&mut block, "grpc-message", &percent_encoded(text, self.payload / 2));
        }
        self.ended(stream, &block);
    }

    /// An answer in HTTP alone, for a request that is no call.
    pub(crate) fn refuse_http(&mut self, stream: u32, status: u16) {
        self.credit.remove(&stream);
        let mut block = Vec::new();
        field(&mut block, ":status", &status.to_string());
        self.ended(stream, &block);
    }

    fn ended(&mut self, stream: u32, block: &[u8]) {
        head(&mut self.out, block.len(), kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream);
        self.out.extend_from_slice(block);
    }

    /// The stream is gone; what waited for it is dropped.
    pub(crate) fn forget(&mut self, stream: u32) {
        self.credit.remove(&stream);
        self.drop_waiting(stream);
    }

    fn drop_waiting(&mut self, stream: u32) {
        self.ready.remove(&stream);
        if let Some(each) = self.waiting.remove(&stream) {
            self.waiting_bytes -= OVERHEAD + each.data.len();
        }
    }

    /// Makes output of what the windows let through, the oldest call first. A stream whose window is used up is
    /// not looked at again before that has grown, so it holds up no other.
    pub(crate) fn flush(&mut self) {
        if std::mem::take(&mut self.initial_grown) {
            self.ready = self.waiting.keys().copied().filter(|&each| self.own_window(each) > 0).collect();
        }
        while self.window > 0 && self.out.len() < ENOUGH_OUTPUT {
            let Some(&stream) = self.ready.first() else { return };
            let room = self.room(stream);
            let Some(each) = self.waiting.get_mut(&stream).filter(|_| room > 0) else {
                self.ready.remove(&stream);
                continue;
            };
            let left = each.data.len() - each.sent;
            let now = left.min(self.payload).min(room as usize);
            head(&mut self.out, now, kind::DATA, 0, stream);
            self.out.extend_from_slice(&each.data[each.sent..each.sent + now]);
            each.sent += now;
            self.window -= now as i64;
            *self.credit.entry(stream).or_default() -= now as i64;
            if now == left {
                self.drop_waiting(stream);
                self.finish(stream);
            }
        }
    }
}

/// A literal field that no table remembers, its name in full.
fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        integer(block, text.len());
        block.extend_from_slice(text.as_bytes());
    }
}

/// A text's length with seven bits of prefix, not compressed.
fn integer(block: &mut Vec<u8>, value: usize) {
    if value < 127 {
        block.push(value as u8);
        return;
    }
    block.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        block.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
}

/// `grpc-message`: printable ASCII, the rest as `%XX`; cut off at `most` so that one frame holds it.
fn percent_encoded(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if out.len() + 3 > most {
            break;
        }
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

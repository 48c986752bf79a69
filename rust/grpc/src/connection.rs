//! The state of one connection: frames in, calls out, answers back.

use std::collections::HashMap;

use crate::frame::{flag, kind, setting, Code, Fatal, Frame, DEFAULT_WINDOW, PREFACE};
use crate::hpack::Decoder;
use crate::request::{Fields, Incoming, Status, Taken, PREFIX_BYTES};
use crate::send::Sender;

/// Memory of all requests that are still coming in; what goes beyond it is refused.
pub const MAX_BUFFERED: usize = 64 << 20;
/// Memory of answers that wait for the peer; above it calls are refused.
pub const MAX_WAITING: usize = 64 << 20;
/// Calls on one connection, until their answers are sent; the peer is told, and a stream over it refused. A
/// process parks up to three (its end, its two outputs), so there is room for more than five thousand processes.
pub const MAX_STREAMS: usize = 1 << 14;
/// What the peer may send ahead on the connection.
const CONNECTION_WINDOW: u32 = 16 << 20;
const MAX_HEADER_BLOCK: usize = 64 * 1024;
const MAX_HEADER_LIST: u32 = 16 * 1024;

/// What has happened to a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole request; to be answered under its stream number.
    Call { stream: u32, path: Vec<u8>, message: Vec<u8> },
    /// The peer wants no answer (any more). Also told for a call that has been answered: the peer gave up before
    /// it had read the answer.
    Reset { stream: u32 },
}

#[derive(Debug)]
enum Stream {
    Receiving(Incoming),
    /// The application has it.
    Called,
}

/// The server's side of one connection.
#[derive(Debug)]
pub struct Connection {
    max_message: usize,
    input: Vec<u8>,
    preface_seen: bool,
    decoder: Decoder,
    /// Stream, whether it ends there, and the block so far, while CONTINUATION frames come.
    headers: Option<(u32, bool, Vec<u8>)>,
    streams: HashMap<u32, Stream>,
    /// Memory of those that are receiving.
    buffered: usize,
    last_stream: u32,
    /// Received on the connection and not yet given back to the peer's window.
    received: u32,
    sender: Sender,
    /// The last stream that counts, once the peer was told to open no more.
    going_away: Option<u32>,
    closed: bool,
}

type Events = Vec<Event>;

impl Connection {
    /// # Arguments
    /// `max_message`: bytes of the largest request message.
    #[must_use]
    pub fn new(max_message: usize) -> Self {
        let mut sender = Sender::new();
        sender.settings(&[
            (setting::MAX_CONCURRENT_STREAMS, MAX_STREAMS as u32),
            (setting::INITIAL_WINDOW_SIZE, stream_window(max_message)),
            (setting::MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST),
        ]);
        sender.window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW);
        Self {
            max_message,
            input: Vec::new(),
            preface_seen: false,
            decoder: Decoder::new(),
            headers: None,
            streams: HashMap::new(),
            buffered: 0,
            last_stream: 0,
            received: 0,
            sender,
            going_away: None,
            closed: false,
        }
    }

    /// Takes what came from the peer. After a connection error the output ends with what is told to the peer,
    /// and [`is_closed`](Self::is_closed).
    pub fn receive(&mut self, data: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        if self.closed {
            return events;
        }
        let mut input = std::mem::take(&mut self.input);
        let used = if input.is_empty() {
            let used = self.consume(data, &mut events);
            input.extend_from_slice(&data[used..]);
            0
        } else {
            input.extend_from_slice(data);
            self.consume(&input, &mut events)
        };
        input.drain(..used);
        if !self.closed {
            self.input = input;
        }
        events
    }

    /// Bytes for the peer; there may be more, until it is empty.
    pub fn take_output(&mut self) -> Vec<u8> {
        if !self.closed {
            self.sender.flush();
        }
        self.sender.take()
    }

    /// Nothing more is read; the connection is to be closed once the output is sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The answer has left for the output as a whole; else it waits for the peer's windows.
    #[must_use]
    pub fn is_sent(&self, stream: u32) -> bool {
        !self.streams.contains_key(&stream) && !self.sender.is_waiting(stream)
    }

    /// Answers a call. False: the peer has reset it, or the connection is gone; nobody will read the answer.
    pub fn respond(&mut self, stream: u32, message: &[u8]) -> bool {
        let wanted = self.streams.remove(&stream).is_some() && !self.closed;
        if wanted {
            self.sender.answer(stream, message);
        }
        wanted
    }

    /// Answers a call with a status of failure.
    pub fn refuse(&mut self, stream: u32, code: u8, text: &str) {
        if self.streams.remove(&stream).is_some() && !self.closed {
            self.sender.refuse(stream, code, text);
        }
    }

    /// No new calls; those under way may still be answered.
    pub fn shut_down(&mut self) {
        if self.going_away.is_none() && !self.closed {
            self.going_away = Some(self.last_stream);
            self.sender.goaway(self.last_stream, Code::None, "");
        }
    }

    fn consume(&mut self, input: &[u8], events: &mut Events) -> usize {
        let mut used = 0;
        match self.frames(input, &mut used, events) {
            Ok(()) => {}
            Err(Fatal(code, text)) => {
                self.closed = true;
                self.sender.goaway(self.going_away.unwrap_or(self.last_stream), code, text);
                used = input.len();
            }
        }
        used
    }

    fn frames(&mut self, input: &[u8], used: &mut usize, events: &mut Events) -> Result<(), Fatal> {
        if !self.preface_seen {
            let have = input.len().min(PREFACE.len());
            if input[..have] != PREFACE[..have] {
                return Err(Fatal(Code::Protocol, "no HTTP/2 client"));
            }
            if have < PREFACE.len() {
                return Ok(());
            }
            self.preface_seen = true;
            *used = have;
        }
        while let Some((frame, length)) = Frame::parse(&input[*used..])? {
            *used += length;
            self.frame(&frame, events)?;
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>, events: &mut Events) -> Result<(), Fatal> {
        if self.headers.is_some() != (frame.kind == kind::CONTINUATION) {
            return Err(Fatal(Code::Protocol, "CONTINUATION out of place"));
        }
        match frame.kind {
            kind::DATA => self.data(frame, events),
            kind::HEADERS => {
                let ends = frame.has(flag::END_STREAM);
                self.header_block(frame, ends, frame.content()?, Vec::new(), events)
            }
            kind::CONTINUATION => {
                let Some((stream, ends, block)) = self.headers.take() else { return Ok(()) };
                if stream != frame.stream {
                    return Err(Fatal(Code::Protocol, "CONTINUATION of another stream"));
                }
                self.header_block(frame, ends, frame.payload, block, events)
            }
            kind::RST_STREAM => {
                frame.number()?;
                self.known(frame.stream)?;
                self.forget(frame.stream);
                self.sender.forget(frame.stream);
                events.push(Event::Reset { stream: frame.stream });
                Ok(())
            }
            kind::SETTINGS => self.settings(frame),
            kind::PING => self.ping(frame),
            kind::WINDOW_UPDATE => self.window_update(frame),
            kind::PUSH_PROMISE => Err(Fatal(Code::Protocol, "clients do not push")),
            // PRIORITY, what nobody knows yet, and GOAWAY: the closing of the connection tells the same.
            _ => Ok(()),
        }
    }

    /// The stream is one that the peer has opened some time.
    fn known(&self, stream: u32) -> Result<(), Fatal> {
        if stream == 0 || stream > self.last_stream {
            return Err(Fatal(Code::Protocol, "frame for a stream that was never opened"));
        }
        Ok(())
    }

    fn forget(&mut self, stream: u32) {
        if let Some(Stream::Receiving(incoming)) = self.streams.remove(&stream) {
            self.buffered -= incoming.held();
        }
    }

    // --- calls -----------------------------------------------------------------------------------

    fn header_block(
        &mut self,
        frame: &Frame<'_>,
        ends: bool,
        part: &[u8],
        mut block: Vec<u8>,
        events: &mut Events,
    ) -> Result<(), Fatal> {
        if block.len() + part.len() > MAX_HEADER_BLOCK {
            return Err(Fatal(Code::Calm, "header block too large"));
        }
        if !frame.has(flag::END_HEADERS) {
            block.extend_from_slice(part);
            self.headers = Some((frame.stream, ends, block));
            return Ok(());
        }
        let mut fields = Fields::default();
        let mut visit = |name: &[u8], value: &[u8]| fields.add(name, value);
        let whole: &[u8] = if block.is_empty() {
            part
        } else {
            block.extend_from_slice(part);
            &block
        };
        self.decoder
            .decode(whole, &mut visit)
            .map_err(|_| Fatal(Code::Compression, "header block cannot be read"))?;
        self.open(frame.stream, ends, fields, events)
    }

    fn open(&mut self, stream: u32, ends: bool, fields: Fields, events: &mut Events) -> Result<(), Fatal> {
        if stream <= self.last_stream {
            // Trailers of a request, or what was under way when the stream was closed.
            self.known(stream)?;
            return if ends { self.end(stream, events) } else { Ok(()) };
        }
        if stream % 2 == 0 {
            return Err(Fatal(Code::Protocol, "even stream from a client"));
        }
        self.last_stream = stream;
        if self.going_away.is_some() {
            return Ok(());
        }
        if self.streams.len() + self.sender.waiting() >= MAX_STREAMS {
            return self.sender.reset(stream, Code::Refused);
        }
        if let Some(status) = fields.problem() {
            self.sender.refuse_http(stream, status);
            return if ends { Ok(()) } else { self.sender.reset(stream, Code::None) };
        }
        let incoming = Incoming::new(fields.path);
        self.buffered += incoming.held();
        self.streams.insert(stream, Stream::Receiving(incoming));
        self.go_on(stream, ends, Ok(()), events)
    }

    fn data(&mut self, frame: &Frame<'_>, events: &mut Events) -> Result<(), Fatal> {
        self.known(frame.stream)?;
        let content = frame.content()?;
        // Padding counts too.
        self.received += frame.payload.len() as u32;
        if self.received > CONNECTION_WINDOW / 2 {
            self.sender.window_update(0, self.received);
            self.received = 0;
        }
        let Some(Stream::Receiving(incoming)) = self.streams.get_mut(&frame.stream) else {
            return Ok(());
        };
        let before = incoming.held();
        let taken = incoming.add(content, self.max_message);
        self.buffered += incoming.held() - before;
        self.go_on(frame.stream, frame.has(flag::END_STREAM), taken, events)
    }

    /// More of a call has come in.
    fn go_on(&mut self, stream: u32, ends: bool, mut taken: Taken, events: &mut Events) -> Result<(), Fatal> {
        if self.buffered > MAX_BUFFERED {
            taken = Err((Status::ResourceExhausted, "grpc: too many requests are coming in".into()));
        }
        if let Err((status, text)) = taken {
            self.forget(stream);
            self.sender.refuse(stream, status as u8, &text);
            return if ends { Ok(()) } else { self.sender.reset(stream, Code::None) };
        }
        if ends {
            self.end(stream, events)
        } else {
            Ok(())
        }
    }

    /// The peer has said all of its call.
    fn end(&mut self, stream: u32, events: &mut Events) -> Result<(), Fatal> {
        let Some(slot) = self.streams.get_mut(&stream) else { return Ok(()) };
        let Stream::Receiving(incoming) = std::mem::replace(slot, Stream::Called) else {
            return Err(Fatal(Code::Protocol, "a stream ended twice"));
        };
        self.buffered -= incoming.held();
        let finished = if self.sender.waiting_bytes() > MAX_WAITING {
            Err((Status::ResourceExhausted, "grpc: too many answers wait to be read".into()))
        } else {
            incoming.finish()
        };
        match finished {
            Ok((path, message)) => events.push(Event::Call { stream, path, message }),
            Err((status, text)) => {
                self.streams.remove(&stream);
                self.sender.refuse(stream, status as u8, &text);
            }
        }
        Ok(())
    }

    // --- the connection --------------------------------------------------------------------------

    fn settings(&mut self, frame: &Frame<'_>) -> Result<(), Fatal> {
        if frame.stream != 0 {
            return Err(Fatal(Code::Protocol, "SETTINGS of a stream"));
        }
        if frame.has(flag::ACK) {
            return Ok(());
        }
        self.sender.apply_settings(frame.payload)?;
        self.sender.acknowledge(kind::SETTINGS, &[])
    }

    fn ping(&mut self, frame: &Frame<'_>) -> Result<(), Fatal> {
        if frame.stream != 0 || frame.payload.len() != 8 {
            return Err(Fatal(Code::FrameSize, "wrong PING"));
        }
        if frame.has(flag::ACK) {
            return Ok(());
        }
        self.sender.acknowledge(kind::PING, frame.payload)
    }

    fn window_update(&mut self, frame: &Frame<'_>) -> Result<(), Fatal> {
        let increment = frame.number()? & 0x7fff_ffff;
        if increment == 0 {
            return Err(Fatal(Code::Protocol, "a window grown by nothing"));
        }
        let stream = frame.stream;
        if stream != 0 {
            self.known(stream)?;
            if self.is_sent(stream) {
                return Ok(()); // answered; it came late
            }
        }
        self.sender.grow_window(stream, increment)
    }
}

/// A whole message fits, so a stream's window never needs an update.
fn stream_window(max_message: usize) -> u32 {
    let padding = max_message / 64 + 64 * 1024;
    u32::try_from(max_message + PREFIX_BYTES + padding).unwrap_or(u32::MAX >> 1).min(u32::MAX >> 1)
}

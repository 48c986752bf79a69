//! A client made of bytes against one connection.

use kata_grpc::connection::MAX_STREAMS;
use kata_grpc::{Connection, Event};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const LIMIT: usize = 1 << 20;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// POST to `/s/Method` as gRPC, without the table.
fn fields() -> Vec<u8> {
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

fn message(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(data);
    out
}

fn call(stream: u32, data: &[u8]) -> Vec<u8> {
    let mut out = frame(HEADERS, END_HEADERS, stream, &fields());
    let whole = message(data);
    let mut chunks = whole.chunks(16_384).peekable();
    while let Some(chunk) = chunks.next() {
        out.extend(frame(DATA, if chunks.peek().is_none() { END_STREAM } else { 0 }, stream, chunk));
    }
    out
}

/// A connection whose preface and settings are behind it.
fn opened() -> Connection {
    let mut connection = Connection::new(LIMIT);
    assert!(connection.receive(PREFACE).is_empty());
    assert!(connection.receive(&frame(SETTINGS, 0, 0, &[])).is_empty());
    connection.take_output();
    connection
}

/// Kind, flags, stream and payload of each frame.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        found.push((bytes[3], bytes[4], stream, bytes[9..9 + length].to_vec()));
        bytes = &bytes[9 + length..];
    }
    found
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn expected(stream: u32, data: &[u8]) -> Event {
    Event::Call { stream, path: b"/s/Method".to_vec(), message: data.to_vec() }
}

#[test]
fn a_call_is_answered_however_the_bytes_are_cut() {
    for size in [1, 2, 7, 64, 100_000] {
        let mut connection = Connection::new(LIMIT);
        let mut input = PREFACE.to_vec();
        input.extend(frame(SETTINGS, 0, 0, &[]));
        input.extend(call(1, b"hello"));
        let events: Vec<Event> = input.chunks(size).flat_map(|part| connection.receive(part)).collect();
        assert_eq!(events, [expected(1, b"hello")]);
        assert!(!connection.is_sent(1));
        connection.take_output();
        connection.respond(1, b"world");
        let sent = frames(&connection.take_output());
        let kinds: Vec<_> = sent.iter().map(|(kind, flags, stream, _)| (*kind, *flags, *stream)).collect();
        assert_eq!(kinds, [(HEADERS, 4, 1), (DATA, 0, 1), (HEADERS, 5, 1)]);
        assert_eq!(sent[1].3, message(b"world"));
        assert!(connection.is_sent(1));
    }
}

#[test]
fn settings_and_pings_are_acknowledged() {
    let mut connection = opened();
    connection.receive(&frame(PING, 0, 0, b"12345678"));
    assert_eq!(frames(&connection.take_output()), [(PING, 1, 0, b"12345678".to_vec())]);
    connection.receive(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]));
    assert_eq!(frames(&connection.take_output()), [(SETTINGS, 1, 0, vec![])]);
    connection.receive(&frame(PING, 1, 0, b"12345678"));
    assert!(!connection.has_output());
}

#[test]
fn a_message_in_many_frames_with_padding_and_continuation() {
    let mut connection = opened();
    let block = fields();
    let mut input = frame(HEADERS, 0, 1, &block[..3]);
    input.extend(frame(CONTINUATION, 0, 1, &block[3..10]));
    input.extend(frame(CONTINUATION, END_HEADERS, 1, &block[10..]));
    let body = message(b"abcdef");
    input.extend(frame(DATA, 8, 1, &[&[2], &body[..3], &[0, 0]].concat()));
    input.extend(frame(DATA, 0, 1, &body[3..]));
    assert!(connection.receive(&input).is_empty());
    assert_eq!(connection.receive(&frame(DATA, END_STREAM, 1, &[])), [expected(1, b"abcdef")]);
}

#[test]
fn an_answer_waits_for_the_windows_and_holds_up_no_other() {
    let mut connection = opened();
    // Streams of ten bytes; the connection has its 65,535.
    connection.receive(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 10]));
    connection.receive(&[call(1, b""), call(3, b"")].concat());
    connection.take_output();
    connection.respond(1, &[7; 100]);
    assert!(!connection.is_sent(1));
    connection.respond(3, b"hi");
    assert!(connection.is_sent(3));
    let sent = frames(&connection.take_output());
    let of_first: usize =
        sent.iter().filter(|(kind, _, s, _)| (*kind, *s) == (DATA, 1)).map(|f| f.3.len()).sum();
    assert_eq!(of_first, 10);
    connection.receive(&frame(WINDOW_UPDATE, 0, 1, &1000_u32.to_be_bytes()));
    let sent = frames(&connection.take_output());
    assert_eq!(sent.iter().map(|each| each.3.len()).collect::<Vec<_>>()[0], 95);
    assert_eq!((sent[1].0, sent[1].1, sent[1].2), (HEADERS, 5, 1));
    assert!(connection.is_sent(1));
}

#[test]
fn an_answer_larger_than_the_connections_window() {
    let mut connection = opened();
    connection.receive(&frame(WINDOW_UPDATE, 0, 0, &1_000_000_u32.to_be_bytes()));
    connection.receive(&call(1, b""));
    connection.respond(1, &[7; 200_000]);
    let mut received = 0;
    loop {
        let output = frames(&connection.take_output());
        let now: usize = output.iter().filter(|each| each.0 == DATA).map(|each| each.3.len()).sum();
        assert!(output.iter().all(|each| each.3.len() <= 16_384));
        received += now;
        if connection.is_sent(1) {
            break;
        }
        connection.receive(&frame(WINDOW_UPDATE, 0, 1, &(now as u32).to_be_bytes()));
    }
    assert_eq!(received, 200_005);
}

#[test]
fn a_reset_is_told_before_and_after_the_answer() {
    let mut connection = opened();
    connection.receive(&[call(1, b""), call(3, b"")].concat());
    connection.respond(1, b"answer");
    connection.take_output();
    let cancel = 8_u32.to_be_bytes();
    let events =
        connection.receive(&[frame(RST_STREAM, 0, 1, &cancel), frame(RST_STREAM, 0, 3, &cancel)].concat());
    assert_eq!(events, [Event::Reset { stream: 1 }, Event::Reset { stream: 3 }]);
    connection.respond(3, b"too late");
    assert!(!connection.has_output());
}

#[test]
fn statuses_of_this_layer() {
    let mut compressed = message(b"abc");
    compressed[0] = 1;
    let large = [&[0][..], &(LIMIT as u32 + 1).to_be_bytes()].concat();
    let two = [message(b"a"), message(b"b")].concat();
    let cases: [(&[u8], &str, &str); 5] = [
        (&compressed, "12", "compressed"),
        (&large, "8", "grpc: received message larger than max (1048577 vs. 1048576)"),
        (&two, "13", "one message"),
        (&[], "13", "ended before its message"),
        (&message(b"abcdef")[..7], "13", "ended before its message"),
    ];
    for (body, code, text) in cases {
        let mut connection = opened();
        let mut input = frame(HEADERS, END_HEADERS, 1, &fields());
        input.extend(frame(DATA, END_STREAM, 1, body));
        assert!(connection.receive(&input).is_empty());
        let output = connection.take_output();
        assert!(contains(&output, &format!("grpc-status{}{code}", char::from(code.len() as u8))), "{text}");
        assert!(contains(&output, text), "{text}");
        assert_eq!(connection.receive(&call(3, b"x")), [expected(3, b"x")], "the connection goes on");
    }
}

#[test]
fn texts_of_a_status_are_percent_encoded() {
    let mut connection = opened();
    connection.receive(&call(1, b""));
    connection.refuse(1, 5, "50% é\n");
    assert!(contains(&connection.take_output(), "50%25 %C3%A9%0A"));
}

#[test]
fn what_is_no_grpc_call_gets_an_http_status() {
    let mut connection = opened();
    assert!(connection.receive(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x82, 0x86, 0x84])).is_empty());
    assert!(contains(&connection.take_output(), "405"));
    assert!(!connection.is_closed());
}

#[test]
fn no_new_calls_after_shutting_down() {
    let mut connection = opened();
    connection.receive(&call(1, b"x"));
    connection.shut_down();
    assert!(connection.receive(&call(3, b"y")).is_empty());
    connection.respond(1, b"z");
    let kinds: Vec<u8> = frames(&connection.take_output()).iter().map(|each| each.0).collect();
    assert_eq!(kinds, [GOAWAY, HEADERS, DATA, HEADERS]);
}

#[test]
fn breaches_of_the_protocol_end_the_connection() {
    let breaches: [(&str, Vec<u8>); 12] = [
        ("data of a stream never opened", frame(DATA, 0, 1, b"x")),
        ("reset of a stream never opened", frame(RST_STREAM, 0, 1, &[0; 4])),
        ("even stream", frame(HEADERS, END_HEADERS, 2, &fields())),
        ("stream zero", frame(HEADERS, END_HEADERS, 0, &fields())),
        ("push", frame(5, 0, 1, &[0; 4])),
        ("short ping", frame(PING, 0, 0, &[0; 7])),
        ("lone continuation", frame(CONTINUATION, END_HEADERS, 1, &[])),
        ("interleaved headers", [frame(HEADERS, 0, 1, &[]), frame(PING, 0, 0, &[0; 8])].concat()),
        ("no header block", frame(HEADERS, END_HEADERS, 1, &[0x80])),
        ("padding", frame(HEADERS, END_HEADERS | 8, 1, &[9, 1])),
        ("window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("too large a frame", vec![0, 0x40, 1, DATA, 0, 0, 0, 0, 1]),
    ];
    for (what, input) in breaches {
        let mut connection = opened();
        assert!(connection.receive(&input).is_empty(), "{what}");
        assert!(connection.is_closed(), "{what}");
        let sent = frames(&connection.take_output());
        assert_eq!(sent.last().map(|each| each.0), Some(GOAWAY), "{what}");
        assert!(connection.receive(&call(1, b"")).is_empty(), "{what}");
    }
    let mut connection = Connection::new(LIMIT);
    connection.receive(b"GET / HTTP/1.1\r\n\r\n");
    assert!(connection.is_closed());
}

#[test]
fn a_peer_that_asks_and_never_reads_is_let_go() {
    let mut connection = opened();
    let pings = frame(PING, 0, 0, b"12345678").repeat(20_000);
    connection.receive(&pings);
    assert!(connection.is_closed());
}

#[test]
fn answers_that_nobody_reads_end_in_refusals() {
    let mut connection = opened();
    let mut refused = 0;
    for index in 0..100 {
        let stream = 2 * index + 1;
        match &connection.receive(&call(stream, b""))[..] {
            [] => refused += 1,
            _ => assert!(connection.respond(stream, &vec![0; LIMIT])),
        }
        connection.take_output();
    }
    assert_eq!(refused, 100 - 64);
    // Whoever gives up what it does not read is served again.
    connection.receive(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
    connection.receive(&frame(RST_STREAM, 0, 3, &8_u32.to_be_bytes()));
    assert_eq!(connection.receive(&call(301, b"x")), [expected(301, b"x")]);
}

#[test]
fn uploads_keep_the_connections_window_open() {
    let mut connection = opened();
    let mut granted = 16_usize << 20;
    for index in 0..64 {
        let upload = call(2 * index + 1, &vec![1; LIMIT]);
        granted -= LIMIT + 5;
        assert_eq!(connection.receive(&upload).len(), 1);
        for (kind, _, stream, payload) in frames(&connection.take_output()) {
            if (kind, stream) == (WINDOW_UPDATE, 0) {
                granted += u32::from_be_bytes(payload.try_into().unwrap()) as usize;
            }
        }
        assert!(granted > 4 << 20);
        connection.refuse(2 * index + 1, 13, "");
    }
}

#[test]
fn requests_that_never_end_are_refused_by_what_they_hold() {
    let refusals = |connection: &mut Connection, stream: u32, path: usize, body: &[u8]| {
        let mut block = [&fields()[..], &[0, 5], b":path", &[127]].concat();
        let rest = path - 127;
        block.extend([(rest & 0x7f) as u8 | 0x80, (rest >> 7) as u8]);
        block.resize(block.len() + path, b'p');
        connection.receive(&frame(HEADERS, END_HEADERS, stream, &block));
        for part in body.chunks(16_384) {
            connection.receive(&frame(DATA, 0, stream, part));
        }
        contains(&connection.take_output(), "too many requests are coming in")
    };
    let half = &message(&vec![0; LIMIT])[..LIMIT / 2];
    // Their bodies; and their paths, when there is no body.
    for (path, body, fit) in [(200, half, 85..95), (10_000, &[][..], 6400..6711)] {
        let mut connection = opened();
        let first = (0..10_000).find(|index| refusals(&mut connection, 2 * index + 1, path, body));
        assert!(fit.contains(&first.unwrap()), "{first:?}");
        connection.receive(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
        assert!(!refusals(&mut connection, 30_001, path, body), "there is room again");
    }
}

#[test]
fn the_peer_is_told_how_many_calls_there_may_be() {
    let mut connection = Connection::new(LIMIT);
    let settings = frames(&connection.take_output()).swap_remove(0);
    let told = settings.3.chunks(6).find(|each| each[..2] == [0, 3]).unwrap();
    assert_eq!(told[2..], (MAX_STREAMS as u32).to_be_bytes());
    connection.receive(PREFACE);
    for index in 0..MAX_STREAMS as u32 {
        assert_eq!(connection.receive(&call(2 * index + 1, b"")).len(), 1);
    }
    let refused = [(RST_STREAM, 0, 40_001, 7_u32.to_be_bytes().to_vec())];
    assert!(connection.receive(&call(40_001, b"")).is_empty());
    assert_eq!(frames(&connection.take_output()), refused);
    connection.respond(1, b"");
    assert_eq!(connection.receive(&call(40_003, b"")).len(), 1);
}

/// Any bytes: no panic, and a connection error at the latest when the frames make no sense.
#[test]
fn noise_is_survived() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let mut connection = opened();
        for _ in 0..next() % 12 {
            let random = next();
            let length = (next() % 40) as usize;
            let mut payload: Vec<u8> = (0..length).map(|_| next() as u8).collect();
            if random % 3 == 0 {
                payload = fields();
            }
            let bytes = frame(
                (random >> 8) as u8 % 11,
                (random >> 16) as u8 & 0x2d,
                (random >> 24) as u32 % 6,
                &payload,
            );
            for event in connection.receive(&bytes) {
                if let Event::Call { stream, .. } = event {
                    connection.respond(stream, &payload);
                }
            }
        }
        frames(&connection.take_output());
    }
}

//! A client made of bytes against one connection.

mod client;

use client::*;
use kata_grpc::{Connection, Event};

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
    assert!(connection.take_output().is_empty());
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
    assert!(connection.take_output().is_empty());
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

//! What one peer can make a connection hold and do.

mod client;

use client::*;
use kata_grpc::connection::MAX_STREAMS;
use kata_grpc::Connection;

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

#[test]
fn answers_without_a_window_cost_nothing_and_count_as_calls() {
    let mut connection = opened();
    connection.receive(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    for index in 0..MAX_STREAMS as u32 {
        connection.receive(&call(2 * index + 1, b""));
        assert!(connection.respond(2 * index + 1, b"x"));
        connection.take_output();
    }
    connection.receive(&call(40_001, b""));
    assert_eq!(frames(&connection.take_output()), [(RST_STREAM, 0, 40_001, 7_u32.to_be_bytes().to_vec())]);
    // 16,384 answers looked at for each of these would be seconds.
    let started = std::time::Instant::now();
    for _ in 0..20_000 {
        connection.receive(&frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()));
        assert!(connection.take_output().is_empty());
    }
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    // One stream's window lets that one through; the initial window all of them.
    connection.receive(&frame(WINDOW_UPDATE, 0, 5, &6_u32.to_be_bytes()));
    assert_eq!(frames(&connection.take_output())[0], (DATA, 0, 5, message(b"x")));
    assert!(connection.is_sent(5) && !connection.is_sent(7));
    connection.receive(&frame(WINDOW_UPDATE, 0, 0, &1_000_000_u32.to_be_bytes()));
    connection.receive(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 6]));
    let mut sent = 0;
    loop {
        let output = connection.take_output();
        if output.is_empty() {
            break;
        }
        assert!(output.len() < 300_000);
        sent += frames(&output).iter().filter(|each| each.0 == DATA).count();
    }
    assert_eq!(sent, MAX_STREAMS - 1);
    assert_eq!(connection.receive(&call(40_003, b"")).len(), 1);
}

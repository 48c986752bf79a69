//! The server's side of gRPC over one HTTP/2 connection, for unary calls.
//!
//! No socket, thread or clock is here: [`Connection::receive`] takes what came from the peer and gives the calls
//! that are complete; answers are handed back in any order and [`Connection::take_output`] gives the bytes to
//! send. Any input gives calls or a connection error that is told to the peer.
//!
//! A peer cannot make memory grow without end, nor by announcing what it does not send: all calls that are still
//! coming in hold [`connection::MAX_BUFFERED`], and one message more while it is being refused; there are
//! [`connection::MAX_STREAMS`] calls; and while answers of more than [`connection::MAX_WAITING`] wait for the
//! peer, no call is handed out. What the application holds of a call that it has, its request and in the end its
//! answer, is the application's to bound.
//!
//! Left out on purpose: TLS, server push, priorities (read over), compression (answered by UNIMPLEMENTED), and
//! streaming calls, of which the agent's protocol has none. Deadlines are the client's: it resets the stream.
//!
//! Sources: RFC 9113 (HTTP/2), RFC 7541 (HPACK), grpc `PROTOCOL-HTTP2.md`.
#![forbid(unsafe_code)]

pub mod connection;
mod frame;
mod hpack;
mod huffman;
mod request;
mod send;

pub use connection::{Connection, Event};

//! `GrpcConnection`: one connection of a gRPC server on a non-blocking socket that Python owns and watches.

use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kata_grpc::{Connection, Event};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use rustix::io::Errno;

use super::convert::os_error;
use crate::sys;

/// What one `receive` reads at most.
const RECEIVE_BYTES: usize = 64 * 1024;

/// A stream's number, and for a new call its path and message.
type Incoming<'py> = (u32, Option<Bound<'py, PyString>>, Option<Bound<'py, PyBytes>>);

/// The server's side of gRPC over one HTTP/2 connection.
#[pyclass(frozen, module = "kata_hybrid._core")]
pub(super) struct GrpcConnection {
    inner: Mutex<State>,
}

struct State {
    connection: Connection,
    /// Room for one read, kept so that it is not made anew for each.
    input: Vec<u8>,
    /// Taken from the connection; the socket has had the first `sent` bytes.
    output: Vec<u8>,
    sent: usize,
}

impl GrpcConnection {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Neither call blocks and both take microseconds, so the interpreter is not let go.
#[pymethods]
impl GrpcConnection {
    #[new]
    fn new(max_message: usize) -> Self {
        let connection = Connection::new(max_message);
        Self { inner: Mutex::new(State { connection, input: Vec::new(), output: Vec::new(), sent: 0 }) }
    }

    fn receive<'py>(&self, py: Python<'py>, fd: i32) -> PyResult<Option<Vec<Incoming<'py>>>> {
        let socket = socket(fd)?;
        let mut state = self.lock();
        let State { connection, input, .. } = &mut *state;
        input.clear();
        input.reserve(RECEIVE_BYTES);
        match rustix::io::read(socket, rustix::buffer::spare_capacity(input)) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Some(Vec::new())),
            Err(err) => return Err(os_error(&err.into())),
        }
        let events = connection.receive(input);
        drop(state);
        let incoming = events.into_iter().map(|event| match event {
            Event::Call { stream, path, message } => {
                let path = PyString::new(py, &String::from_utf8_lossy(&path));
                (stream, Some(path), Some(PyBytes::new(py, &message)))
            }
            Event::Reset { stream } => (stream, None, None),
        });
        Ok(Some(incoming.collect()))
    }

    fn send(&self, fd: i32) -> PyResult<bool> {
        let socket = socket(fd)?;
        let mut state = self.lock();
        loop {
            if state.sent == state.output.len() {
                state.output = state.connection.take_output();
                state.sent = 0;
                if state.output.is_empty() {
                    return Ok(true);
                }
            }
            match rustix::io::write(socket, &state.output[state.sent..]) {
                Ok(count) => state.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(err) => return Err(os_error(&err.into())),
            }
        }
    }

    fn respond(&self, stream: u32, message: &[u8]) -> bool {
        self.lock().connection.respond(stream, message)
    }

    fn refuse(&self, stream: u32, code: u8, text: &str) {
        self.lock().connection.refuse(stream, code, text);
    }

    fn is_sent(&self, stream: u32) -> bool {
        self.lock().connection.is_sent(stream)
    }

    fn shut_down(&self) {
        self.lock().connection.shut_down();
    }

    #[getter]
    fn closed(&self) -> bool {
        self.lock().connection.is_closed()
    }
}

fn socket(fd: i32) -> PyResult<BorrowedFd<'static>> {
    sys::borrow(fd).map_err(|err| os_error(&err))
}

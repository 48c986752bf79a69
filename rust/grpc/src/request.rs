//! One call while it comes in: its header fields and its message.

/// Bytes before a message: the compression flag and the length.
pub(crate) const PREFIX_BYTES: usize = 5;
const MOST_FIELDS_BYTES: usize = 16 * 1024;

/// gRPC status codes that this layer gives by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
}

/// What the header fields must say, gathered one by one.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) path: Vec<u8>,
    post: bool,
    grpc: bool,
    size: usize,
}

impl Fields {
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) {
        self.size += name.len() + value.len() + 32;
        match name {
            b":path" => self.path = value.to_vec(),
            b":method" => self.post = value == b"POST",
            b"content-type" => self.grpc = value.starts_with(b"application/grpc"),
            _ => {}
        }
    }

    /// The HTTP status for a request that is no call.
    pub(crate) fn problem(&self) -> Option<u16> {
        if self.size > MOST_FIELDS_BYTES {
            Some(431)
        } else if !self.post {
            Some(405)
        } else if !self.grpc {
            Some(415)
        } else {
            None
        }
    }
}

/// A call's message so far, with its prefix.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) path: Vec<u8>,
    body: Vec<u8>,
}

impl Incoming {
    pub(crate) fn new(path: Vec<u8>) -> Self {
        Self { path, body: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// Takes more of the body.
    ///
    /// # Errors
    /// The status of a message that is too large or compressed, as soon as its prefix is there.
    pub(crate) fn add(&mut self, data: &[u8], most: usize) -> Result<(), (Status, String)> {
        self.body.extend_from_slice(data);
        let Some(&[flag, length @ ..]) = self.body.first_chunk::<PREFIX_BYTES>() else { return Ok(()) };
        let length = u32::from_be_bytes(length) as usize;
        if flag != 0 {
            return Err((Status::Unimplemented, "grpc: compressed messages are not supported".into()));
        }
        if length > most {
            let text = format!("grpc: received message larger than max ({length} vs. {most})");
            return Err((Status::ResourceExhausted, text));
        }
        if self.body.len() > PREFIX_BYTES + length {
            return Err((Status::Internal, "grpc: a unary call has one message".into()));
        }
        if self.body.capacity() < PREFIX_BYTES + length && data.len() < length {
            self.body.reserve_exact(PREFIX_BYTES + length - self.body.len());
        }
        Ok(())
    }

    /// The message, once the peer has ended its side.
    ///
    /// # Errors
    /// The status of a call whose message is missing or cut off.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, Vec<u8>), (Status, String)> {
        let whole = self.body.first_chunk::<PREFIX_BYTES>().is_some_and(|&[_, length @ ..]| {
            self.body.len() == PREFIX_BYTES + u32::from_be_bytes(length) as usize
        });
        if !whole {
            return Err((Status::Internal, "grpc: the call ended before its message".into()));
        }
        self.body.drain(..PREFIX_BYTES);
        Ok((self.path, self.body))
    }
}

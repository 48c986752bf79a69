//! One call while it comes in: its header fields and its message.

/// Bytes before a message: the compression flag and the length.
pub(crate) const PREFIX_BYTES: usize = 5;
const MOST_FIELDS_BYTES: usize = 16 * 1024;
/// What a call that comes in, or an answer that waits, takes beside its bytes, at most: its places in tables that
/// double, and the allocator's heads.
pub(crate) const OVERHEAD: usize = 256;

/// gRPC status codes that this layer gives by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
}

/// Done, or the status that the call is refused with.
pub(crate) type Taken = Result<(), (Status, String)>;

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

    /// The memory it takes.
    pub(crate) fn held(&self) -> usize {
        OVERHEAD + self.path.capacity() + self.body.capacity()
    }

    /// How long the body is with the message that the prefix announces, once that is there.
    fn announced(&self) -> Option<usize> {
        let &[_, length @ ..] = self.body.first_chunk::<PREFIX_BYTES>()?;
        Some(PREFIX_BYTES + u32::from_be_bytes(length) as usize)
    }

    /// Takes more of the body.
    ///
    /// # Errors
    /// The status of a message that is too large or compressed, as soon as its prefix is there.
    pub(crate) fn add(&mut self, data: &[u8], most: usize) -> Taken {
        let now = self.body.len() + data.len();
        if now > self.body.capacity() {
            // Room for twice what has come: memory follows what was sent, not what was announced.
            let room = self.announced().map_or(now, |whole| whole.min(2 * now));
            self.body.reserve_exact(room.saturating_sub(self.body.len()));
        }
        self.body.extend_from_slice(data);
        let Some(whole) = self.announced() else { return Ok(()) };
        if self.body[0] != 0 {
            return Err((Status::Unimplemented, "grpc: compressed messages are not supported".into()));
        }
        let length = whole - PREFIX_BYTES;
        if length > most {
            let text = format!("grpc: received message larger than max ({length} vs. {most})");
            return Err((Status::ResourceExhausted, text));
        }
        if now > whole {
            return Err((Status::Internal, "grpc: a unary call has one message".into()));
        }
        Ok(())
    }

    /// The message, once the peer has ended its side.
    ///
    /// # Errors
    /// The status of a call whose message is missing or cut off.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, Vec<u8>), (Status, String)> {
        if self.announced() != Some(self.body.len()) {
            return Err((Status::Internal, "grpc: the call ended before its message".into()));
        }
        self.body.drain(..PREFIX_BYTES);
        Ok((self.path, self.body))
    }
}

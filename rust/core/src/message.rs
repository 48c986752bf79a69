//! What kata-init says on the sync socket. Little endian; one datagram is one message.

use kata_plan::Step;

use crate::error::InitFailure;

const SYNC: u32 = 1;
const FORKED: u32 = 2;
const ERROR: u32 = 3;

/// The answer that lets kata-init go on.
pub const GO: &[u8] = b"g";

/// Longest message: a path, a detail (a hook's output) and the head.
pub const MAX_LENGTH: usize = 32 * 1024;

/// One message of kata-init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It waits at this point for [`GO`].
    Sync(u32),
    /// It goes on in this process, whose pidfd comes with the message.
    Forked(u32),
    Error(InitFailure),
}

impl Message {
    /// Any bytes give a message, or `None`.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = word(bytes)?;
        match kind {
            SYNC => word(rest).map(|(point, _)| Self::Sync(point)),
            FORKED => word(rest).map(|(pid, _)| Self::Forked(pid)),
            ERROR => decode_error(rest).map(Self::Error),
            _ => None,
        }
    }
}

fn decode_error(bytes: &[u8]) -> Option<InitFailure> {
    let (opcode, rest) = word(bytes)?;
    let (index, rest) = word(rest)?;
    let (errno, rest) = word(rest)?;
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    Some(InitFailure {
        step: Step::name_of(opcode),
        index: if index == u32::MAX { -1 } else { index.into() },
        errno: errno as i32,
        path: rest[..end].to_vec(),
        detail: rest.get(end + 1..).unwrap_or_default().to_vec(),
    })
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*head), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u32], rest: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn points_and_forks_are_numbers() {
        assert_eq!(Message::decode(&bytes(&[1, 3], b"")), Some(Message::Sync(3)));
        assert_eq!(Message::decode(&bytes(&[2, 77], b"")), Some(Message::Forked(77)));
    }

    #[test]
    fn errors_have_step_place_errno_path_and_detail() {
        let wanted = InitFailure {
            step: "mount",
            index: 4,
            errno: 19,
            path: b"/tmp/x".to_vec(),
            detail: b"no".to_vec(),
        };
        let message = Message::decode(&bytes(&[3, 13, 4, 19], b"/tmp/x\0no"));
        assert_eq!(message, Some(Message::Error(wanted)));
    }

    #[test]
    fn errors_may_lack_their_texts() {
        for rest in [&b""[..], b"\0"] {
            let Some(Message::Error(failure)) = Message::decode(&bytes(&[3, 0, u32::MAX, 5], rest)) else {
                panic!("no error");
            };
            assert_eq!((failure.step, failure.index, failure.errno), ("init", -1, 5));
            assert!(failure.path.is_empty() && failure.detail.is_empty());
        }
    }

    #[test]
    fn torn_and_unknown_messages_are_none() {
        for length in 0..16 {
            let whole = bytes(&[3, 13, 4, 19], b"");
            assert_eq!(Message::decode(&whole[..length]), None);
        }
        assert_eq!(Message::decode(&bytes(&[9, 9], b"")), None);
    }
}

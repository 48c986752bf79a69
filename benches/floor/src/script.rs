//! The script: one system call (or a few that belong together) per line, words parted by tabs, "-" for none.
//!
//! Lines up to `clone` are the parent's, from there to `wait` the child's, then the parent's again.

use std::ffi::{c_char, CString};

/// One line.
#[derive(Debug)]
pub(crate) enum Op {
    Mkdir {
        path: CString,
        mode: u32,
    },
    Rmdir {
        path: CString,
    },
    Write {
        path: CString,
        text: Vec<u8>,
    },
    Unshare {
        flags: i32,
    },
    Setsid,
    LoopbackUp,
    Chdir {
        path: CString,
    },
    Mount {
        source: Option<CString>,
        target: CString,
        fstype: Option<CString>,
        flags: u64,
        data: Option<CString>,
    },
    Mknod {
        path: CString,
        mode: u32,
        device: u64,
    },
    Symlink {
        target: CString,
        path: CString,
    },
    PivotRoot,
    Hostname {
        name: CString,
    },
    Umask {
        mask: u32,
    },
    Rlimit {
        resource: u32,
        soft: u64,
        hard: u64,
    },
    NoNewPrivs,
    Seccomp {
        flags: u32,
        program: Vec<libc::sock_filter>,
    },
    Bounding {
        drop: Vec<u32>,
    },
    Ids {
        uid: u32,
        gid: u32,
    },
    Caps {
        effective: u64,
        permitted: u64,
        inheritable: u64,
    },
    Exec(Exec),
}

/// `execve` with its vectors made ahead.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) path: CString,
    pub(crate) argv: Vec<*const c_char>,
    pub(crate) envp: Vec<*const c_char>,
    _texts: Vec<CString>, // what the vectors point to
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) before: Vec<Op>,
    pub(crate) clone_flags: i32,
    pub(crate) child: Vec<Op>,
    pub(crate) after: Vec<Op>,
}

/// The script of a text.
///
/// # Errors
/// The first line that is not understood.
pub(crate) fn parse(text: &str) -> Result<Script, String> {
    let mut script = Script::default();
    let mut part = 0;
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split('\t').collect();
        let broken = || format!("line {}: not understood: {line}", index + 1);
        match words[..] {
            ["clone", flags] => {
                script.clone_flags = number(flags).ok_or_else(broken)?;
                part = 1;
            }
            ["wait"] => part = 2,
            _ => {
                let op = operation(&words).ok_or_else(broken)?;
                [&mut script.before, &mut script.child, &mut script.after][part].push(op);
            }
        }
    }
    Ok(script)
}

fn operation(words: &[&str]) -> Option<Op> {
    Some(match *words {
        ["mkdir", path, mode] => Op::Mkdir { path: text(path)?, mode: number(mode)? },
        ["rmdir", path] => Op::Rmdir { path: text(path)? },
        ["write", path, value] => Op::Write { path: text(path)?, text: value.as_bytes().to_vec() },
        ["unshare", flags] => Op::Unshare { flags: number(flags)? },
        ["setsid"] => Op::Setsid,
        ["loopback"] => Op::LoopbackUp,
        ["chdir", path] => Op::Chdir { path: text(path)? },
        ["mount", source, target, fstype, flags, data] => Op::Mount {
            source: optional(source)?,
            target: text(target)?,
            fstype: optional(fstype)?,
            flags: number(flags)?,
            data: optional(data)?,
        },
        ["mknod", path, mode, major, minor] => Op::Mknod {
            path: text(path)?,
            mode: number(mode)?,
            device: libc::makedev(number(major)?, number(minor)?),
        },
        ["symlink", target, path] => Op::Symlink { target: text(target)?, path: text(path)? },
        ["pivot"] => Op::PivotRoot,
        ["hostname", name] => Op::Hostname { name: text(name)? },
        ["umask", mask] => Op::Umask { mask: number(mask)? },
        ["rlimit", resource, soft, hard] => {
            Op::Rlimit { resource: number(resource)?, soft: number(soft)?, hard: number(hard)? }
        }
        ["nnp"] => Op::NoNewPrivs,
        ["seccomp", flags, hex] => Op::Seccomp { flags: number(flags)?, program: filter(hex)? },
        ["bounding", keep, last] => {
            let (keep, last): (u64, u32) = (number(keep)?, number(last)?);
            Op::Bounding { drop: (0..=last).filter(|bit| keep >> bit & 1 == 0).collect() }
        }
        ["ids", uid, gid] => Op::Ids { uid: number(uid)?, gid: number(gid)? },
        ["caps", effective, permitted, inheritable] => Op::Caps {
            effective: number(effective)?,
            permitted: number(permitted)?,
            inheritable: number(inheritable)?,
        },
        ["exec", path, ref rest @ ..] => Op::Exec(exec(path, rest)?),
        _ => return None,
    })
}

/// `path`, the arguments, "--", the environment.
fn exec(path: &str, rest: &[&str]) -> Option<Exec> {
    let texts: Vec<CString> = rest.iter().map(|word| text(word)).collect::<Option<_>>()?;
    let middle = rest.iter().position(|word| *word == "--")?;
    let vector = |part: &[CString]| -> Vec<*const c_char> {
        part.iter().map(|each| each.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (vector(&texts[..middle]), vector(&texts[middle + 1..]));
    Some(Exec { path: text(path)?, argv, envp, _texts: texts })
}

/// `struct sock_filter` as 16 hexadecimal digits each, in this machine's byte order.
fn filter(hex: &str) -> Option<Vec<libc::sock_filter>> {
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok())
        .collect::<Option<_>>()?;
    let instructions = bytes.chunks_exact(8).map(|raw| libc::sock_filter {
        code: u16::from_ne_bytes([raw[0], raw[1]]),
        jt: raw[2],
        jf: raw[3],
        k: u32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]),
    });
    Some(instructions.collect())
}

fn text(word: &str) -> Option<CString> {
    CString::new(word).ok()
}

/// `Some(None)` for "-".
#[allow(clippy::option_option)]
fn optional(word: &str) -> Option<Option<CString>> {
    if word == "-" {
        return Some(None);
    }
    text(word).map(Some)
}

fn number<T: std::str::FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}

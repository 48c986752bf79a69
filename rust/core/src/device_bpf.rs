//! Device rules of cgroup v2: an eBPF program made from rules, loaded and attached to a group.
//!
//! [`assemble`] is pure. The program gets `struct bpf_cgroup_dev_ctx` (access and type, major, minor) and
//! returns 1 to allow. Each access bit is decided by the last rule that names it, as in cgroup v1: the
//! program walks the rules from last to first and keeps the bits that are still open in a register.
//! Sources: bpf(2); Linux `include/uapi/linux/bpf.h`, `kernel/bpf/cgroup.c`.

// bpf(2) has no safe wrapper in rustix. Invariants here: every attribute is a `repr(C)` struct laid out as
// `union bpf_attr` for its command; all memory that it points to outlives the call; descriptors that the
// kernel returns are owned at once.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Which device nodes a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Every device and every access: the rule replaces all before it.
    All,
    Block,
    Char,
}

/// mknod, as a bit of [`Rule::access`].
pub const ACCESS_MKNOD: u8 = 1;
/// Reading.
pub const ACCESS_READ: u8 = 2;
/// Writing.
pub const ACCESS_WRITE: u8 = 4;

/// One rule; `None` is any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub allow: bool,
    pub kind: DeviceKind,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: u8,
}

impl Rule {
    /// A rule from the fields of `linux.resources.devices`; negative numbers are "any".
    ///
    /// # Errors
    /// A sentence when the type is not `a`, `b` or `c`, a number is too large, or the access is empty or
    /// has another letter than `r`, `w`, `m`.
    pub fn parse(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> Result<Self, String> {
        let kind = match kind {
            "a" => DeviceKind::All,
            "b" => DeviceKind::Block,
            "c" => DeviceKind::Char,
            _ => return Err(format!("invalid cgroup device type {kind:?}")),
        };
        let mut bits = 0;
        for letter in access.chars() {
            bits |= match letter {
                'm' => ACCESS_MKNOD,
                'r' => ACCESS_READ,
                'w' => ACCESS_WRITE,
                _ => return Err(format!("invalid cgroup device access {access:?}")),
            };
        }
        if bits == 0 {
            return Err("cgroup device access cannot be empty".to_owned());
        }
        Ok(Self { allow, kind, major: number(major)?, minor: number(minor)?, access: bits })
    }
}

fn number(value: i64) -> Result<Option<u32>, String> {
    if value < 0 {
        return Ok(None);
    }
    u32::try_from(value).map(Some).map_err(|_| format!("device number {value} is too large"))
}

// Opcodes: class | size or source | operation.
const LDX_W: u8 = 0x61; // dst = *(u32 *)(src + off)
const MOV64_X: u8 = 0xbf; // dst = src
const MOV64_K: u8 = 0xb7; // dst = imm
const AND32_K: u8 = 0x54; // (u32) dst &= imm
const RSH32_K: u8 = 0x74; // (u32) dst >>= imm
const JNE32_K: u8 = 0x56; // if (u32) dst != imm: skip off
const JSET32_K: u8 = 0x46; // if (u32) dst & imm: skip off
const JA: u8 = 0x05; // skip off
const EXIT: u8 = 0x95;

// Registers of the program.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const OPEN_BITS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const TYPE_BLOCK: u32 = 1;
const TYPE_CHAR: u32 = 2;

#[derive(Clone, Copy)]
struct Insn {
    code: u8,
    dst: u8,
    src: u8,
    off: i16,
    imm: u32,
}

impl Insn {
    const fn new(code: u8, dst: u8, src: u8, off: i16, imm: u32) -> Self {
        Self { code, dst, src, off, imm }
    }

    /// `struct bpf_insn` in memory order, as one word.
    fn encode(self) -> u64 {
        let [off0, off1] = self.off.to_ne_bytes();
        let [imm0, imm1, imm2, imm3] = self.imm.to_ne_bytes();
        // dst_reg is the first bit field: the low half on little endian, the high half on big endian.
        let registers =
            if cfg!(target_endian = "little") { self.dst | self.src << 4 } else { self.dst << 4 | self.src };
        u64::from_ne_bytes([self.code, registers, off0, off1, imm0, imm1, imm2, imm3])
    }
}

/// The program for `rules`; what no rule names is denied.
#[must_use]
pub fn assemble(rules: &[Rule]) -> Vec<u64> {
    let mut program = vec![
        Insn::new(LDX_W, TYPE, CONTEXT, 0, 0),
        Insn::new(MOV64_X, OPEN_BITS, TYPE, 0, 0),
        Insn::new(AND32_K, TYPE, 0, 0, 0xffff),
        Insn::new(RSH32_K, OPEN_BITS, 0, 0, 16),
        Insn::new(LDX_W, MAJOR, CONTEXT, 4, 0),
        Insn::new(LDX_W, MINOR, CONTEXT, 8, 0),
    ];
    let start = rules.iter().rposition(|rule| rule.kind == DeviceKind::All);
    for rule in rules[start.map_or(0, |index| index + 1)..].iter().rev() {
        append_rule(&mut program, rule);
    }
    let otherwise = start.is_some_and(|index| rules[index].allow);
    append_return(&mut program, otherwise);
    program.into_iter().map(Insn::encode).collect()
}

/// One rule: the conditions skip over its verdict to the next rule.
fn append_rule(program: &mut Vec<Insn>, rule: &Rule) {
    let mut conditions = Vec::with_capacity(3);
    match rule.kind {
        DeviceKind::Block => conditions.push((TYPE, TYPE_BLOCK)),
        DeviceKind::Char => conditions.push((TYPE, TYPE_CHAR)),
        DeviceKind::All => {}
    }
    conditions.extend(rule.major.map(|major| (MAJOR, major)));
    conditions.extend(rule.minor.map(|minor| (MINOR, minor)));
    let access = u32::from(rule.access);
    let mut verdict = if rule.allow {
        // The bits of the rule are granted; with none left open the request is.
        vec![Insn::new(AND32_K, OPEN_BITS, 0, 0, !access), Insn::new(JNE32_K, OPEN_BITS, 0, 2, 0)]
    } else {
        vec![Insn::new(JSET32_K, OPEN_BITS, 0, 1, access), Insn::new(JA, 0, 0, 2, 0)]
    };
    append_return(&mut verdict, rule.allow);
    let mut rest = conditions.len() + verdict.len();
    for (register, value) in conditions {
        rest -= 1;
        // At most 2 + 4 instructions are skipped.
        program.push(Insn::new(JNE32_K, register, 0, rest as i16, value));
    }
    program.append(&mut verdict);
}

fn append_return(program: &mut Vec<Insn>, allow: bool) {
    program.push(Insn::new(MOV64_K, RESULT, 0, 0, u32::from(allow)));
    program.push(Insn::new(EXIT, 0, 0, 0, 0));
}

/// The program as the bytes that [`attach`] takes.
#[must_use]
pub fn to_bytes(program: &[u64]) -> Vec<u8> {
    program.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_DETACH: libc::c_long = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_PROG_QUERY: libc::c_long = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_F_REPLACE: u32 = 4;

/// The kernel's limit of programs attached to one group.
const MAX_ATTACHED: usize = 64;

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Default)]
struct GetIdAttr {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Loads `insns` (of [`to_bytes`]) and puts the program in the place of those attached to the group.
///
/// The new one is in force before an old one goes: there is no moment without a filter. Programs of
/// parent groups stay and must allow too.
///
/// # Errors
/// The errno of bpf(2): `EPERM` without `CAP_BPF`/`CAP_SYS_ADMIN`, `EINVAL` for a program that the
/// verifier refuses or bytes that are no whole instructions.
pub fn attach(cgroup_fd: BorrowedFd<'_>, insns: &[u8]) -> io::Result<()> {
    let program = load(insns)?;
    let old = attached(cgroup_fd)?;
    if let [only] = old.as_slice() {
        match attach_program(cgroup_fd, &program, Some(only)) {
            // Linux before 5.6 has no replace.
            Err(err) if err.raw_os_error() == Some(libc::EINVAL) => {}
            done => return done,
        }
    }
    attach_program(cgroup_fd, &program, None)?;
    old.iter().try_for_each(|each| detach_program(cgroup_fd, each))
}

/// How many device programs are attached to the group itself.
///
/// # Errors
/// The errno of bpf(2).
pub fn query(cgroup_fd: BorrowedFd<'_>) -> io::Result<u32> {
    attached_ids(cgroup_fd).map(|ids| ids.len() as u32)
}

fn load(insns: &[u8]) -> io::Result<OwnedFd> {
    if insns.is_empty() || insns.len() % size_of::<u64>() != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // Copied for its alignment.
    let words: Vec<u64> = insns.chunks_exact(size_of::<u64>()).map(word).collect();
    match load_words(&words) {
        // Linux before 5.11 counts programs against RLIMIT_MEMLOCK and says EPERM.
        Err(err) if err.raw_os_error() == Some(libc::EPERM) => with_memlock(|| load_words(&words)),
        done => done,
    }
}

fn word(chunk: &[u8]) -> u64 {
    let mut bytes = [0; size_of::<u64>()];
    bytes.copy_from_slice(chunk);
    u64::from_ne_bytes(bytes)
}

fn load_words(words: &[u64]) -> io::Result<OwnedFd> {
    let mut attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: words.len() as u32,
        insns: words.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        prog_name: *b"kata_hybrid_dev\0",
        ..LoadAttr::default()
    };
    // Retried as bpf(2) asks: the verifier gives EAGAIN when a signal interrupts it.
    for _ in 0..5 {
        match bpf(BPF_PROG_LOAD, &mut attr) {
            Err(err) if err.raw_os_error() == Some(libc::EAGAIN) => {}
            result => return result.map(own),
        }
    }
    bpf(BPF_PROG_LOAD, &mut attr).map(own)
}

fn own(fd: i32) -> OwnedFd {
    // SAFETY: the caller got `fd` from a bpf(2) command that returns a new descriptor, and hands it over
    // here only; nothing else owns or closes it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Runs `action` with the soft limit of locked memory at the hard one, or at infinity if we may.
fn with_memlock<T>(action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit` to `old`, which lives through the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut old) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let hard = libc::rlimit { rlim_cur: old.rlim_max, rlim_max: old.rlim_max };
    if !set_memlock(&unlimited) && !set_memlock(&hard) {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    let result = action();
    set_memlock(&old);
    result
}

fn set_memlock(limit: &libc::rlimit) -> bool {
    // SAFETY: the kernel only reads one `rlimit`, borrowed through the call.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, limit) == 0 }
}

fn attach_program(cgroup_fd: BorrowedFd<'_>, program: &OwnedFd, replace: Option<&OwnedFd>) -> io::Result<()> {
    let mut attr = AttachAttr {
        target_fd: cgroup_fd.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | if replace.is_some() { BPF_F_REPLACE } else { 0 },
        replace_bpf_fd: replace.map_or(0, |old| old.as_raw_fd() as u32),
    };
    bpf(BPF_PROG_ATTACH, &mut attr).map(drop)
}

fn detach_program(cgroup_fd: BorrowedFd<'_>, program: &OwnedFd) -> io::Result<()> {
    let mut attr = AttachAttr {
        target_fd: cgroup_fd.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        ..AttachAttr::default()
    };
    bpf(BPF_PROG_DETACH, &mut attr).map(drop)
}

fn attached(cgroup_fd: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let open = |prog_id| {
        let mut attr = GetIdAttr { prog_id, ..GetIdAttr::default() };
        bpf(BPF_PROG_GET_FD_BY_ID, &mut attr).map(own)
    };
    attached_ids(cgroup_fd)?.into_iter().map(open).collect()
}

fn attached_ids(cgroup_fd: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut ids = vec![0_u32; MAX_ATTACHED];
    let mut attr = QueryAttr {
        target_fd: cgroup_fd.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: ids.len() as u32,
        ..QueryAttr::default()
    };
    bpf(BPF_PROG_QUERY, &mut attr)?;
    ids.truncate(attr.prog_cnt as usize);
    Ok(ids)
}

/// A struct laid out as the part of `union bpf_attr` that one command reads.
trait Attr {}
impl Attr for LoadAttr {}
impl Attr for AttachAttr {}
impl Attr for QueryAttr {}
impl Attr for GetIdAttr {}

fn bpf<T: Attr>(command: libc::c_long, attr: &mut T) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes at most size_of::<T>() bytes at `attr`, which is borrowed
    // mutably through the call, and takes what lies beyond as zero. Pointers inside (program, licence,
    // id table) are to buffers that our callers keep alive, with the counts given beside them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as i32)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Runs a program on one request: a tiny interpreter of the instructions used here.
    fn run(program: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> u64 {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0_u64; 11];
        let mut at = 0_usize;
        for _ in 0..program.len() {
            let [code, regs, off0, off1, imm0, imm1, imm2, imm3] = program[at].to_le_bytes();
            let (dst, src) = (usize::from(regs & 15), usize::from(regs >> 4));
            let off = i16::from_le_bytes([off0, off1]);
            let imm = u32::from_le_bytes([imm0, imm1, imm2, imm3]);
            let low = registers[dst] as u32;
            let jump = match code {
                LDX_W => {
                    assert_eq!(src, usize::from(CONTEXT));
                    registers[dst] = u64::from(context[off as usize / 4]);
                    false
                }
                MOV64_X => {
                    registers[dst] = registers[src];
                    false
                }
                MOV64_K => {
                    registers[dst] = u64::from(imm);
                    false
                }
                AND32_K => {
                    registers[dst] = u64::from(low & imm);
                    false
                }
                RSH32_K => {
                    registers[dst] = u64::from(low >> imm);
                    false
                }
                JNE32_K => low != imm,
                JSET32_K => low & imm != 0,
                JA => true,
                EXIT => return registers[0],
                _ => panic!("unknown opcode {code:#x}"),
            };
            at += 1 + if jump { usize::try_from(off).unwrap() } else { 0 };
        }
        panic!("the program does not end");
    }

    fn rule(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> Rule {
        Rule::parse(allow, kind, major, minor, access).unwrap()
    }

    fn allows(rules: &[Rule], kind: char, access: &str, major: u32, minor: u32) -> bool {
        let kind = if kind == 'b' { TYPE_BLOCK } else { TYPE_CHAR };
        let access = rule(true, "c", 0, 0, access).access;
        run(&assemble(rules), kind, u32::from(access), major, minor) == 1
    }

    /// The meaning, written the other way round: first to last, bit by bit.
    fn model(rules: &[Rule], kind: u32, access: u8, major: u32, minor: u32) -> bool {
        [ACCESS_MKNOD, ACCESS_READ, ACCESS_WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            rules.iter().fold(false, |verdict, rule| {
                let hit = match rule.kind {
                    DeviceKind::All => true,
                    DeviceKind::Block | DeviceKind::Char => {
                        (rule.kind == DeviceKind::Block) == (kind == TYPE_BLOCK)
                            && rule.access & bit != 0
                            && rule.major.is_none_or(|number| number == major)
                            && rule.minor.is_none_or(|number| number == minor)
                    }
                };
                if hit {
                    rule.allow
                } else {
                    verdict
                }
            })
        })
    }

    #[test]
    fn without_rules_everything_is_denied() {
        assert!(!allows(&[], 'c', "r", 1, 3));
    }

    #[test]
    fn allow_all_allows_everything() {
        let rules = [rule(true, "a", -1, -1, "rwm")];
        assert!(allows(&rules, 'b', "rwm", 8, 0));
        assert_eq!(assemble(&rules).len(), 8);
    }

    #[test]
    fn a_rule_names_type_numbers_and_access() {
        let rules = [rule(false, "a", -1, -1, "rwm"), rule(true, "c", 1, 3, "rw")];
        assert!(allows(&rules, 'c', "rw", 1, 3));
        assert!(allows(&rules, 'c', "r", 1, 3));
        assert!(!allows(&rules, 'c', "rm", 1, 3));
        assert!(!allows(&rules, 'b', "r", 1, 3));
        assert!(!allows(&rules, 'c', "r", 1, 5));
        assert!(!allows(&rules, 'c', "r", 2, 3));
    }

    #[test]
    fn the_last_rule_wins_for_each_access_bit() {
        let rules = [rule(true, "c", 1, -1, "rwm"), rule(false, "c", 1, 3, "w")];
        assert!(allows(&rules, 'c', "rm", 1, 3));
        assert!(!allows(&rules, 'c', "rw", 1, 3));
        assert!(allows(&rules, 'c', "rw", 1, 5));
    }

    #[test]
    fn partial_rules_on_one_device_add_up() {
        let rules = [rule(true, "b", 8, 0, "r"), rule(true, "b", 8, 0, "w")];
        assert!(allows(&rules, 'b', "rw", 8, 0));
        assert!(!allows(&rules, 'b', "rwm", 8, 0));
    }

    #[test]
    fn a_rule_for_all_forgets_those_before_it() {
        let rules = [rule(true, "c", 1, 3, "rwm"), rule(false, "a", -1, -1, "r")];
        assert!(!allows(&rules, 'c', "w", 1, 3));
        assert_eq!(assemble(&rules).len(), 8);
    }

    #[test]
    fn numbers_above_the_signed_range_compare_as_they_are() {
        let rules = [rule(true, "c", 0xffff_fff0, 0x8000_0000, "r")];
        assert!(allows(&rules, 'c', "r", 0xffff_fff0, 0x8000_0000));
    }

    #[test]
    fn programs_agree_with_the_model_on_many_lists() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for _ in 0..2000 {
            let rules: Vec<Rule> = (0..next(9))
                .map(|_| Rule {
                    allow: next(2) == 0,
                    kind: [DeviceKind::Block, DeviceKind::Char, DeviceKind::Char, DeviceKind::All]
                        [next(4) as usize],
                    major: (next(3) > 0).then(|| next(3) as u32),
                    minor: (next(3) > 0).then(|| next(3) as u32),
                    access: 1 + next(7) as u8,
                })
                .collect();
            let program = assemble(&rules);
            for _ in 0..20 {
                let (kind, access) = (1 + next(2) as u32, 1 + next(7) as u8);
                let (major, minor) = (next(3) as u32, next(3) as u32);
                let got = run(&program, kind, u32::from(access), major, minor) == 1;
                assert_eq!(got, model(&rules, kind, access, major, minor), "{rules:?} {kind} {access}");
            }
        }
    }

    #[test]
    fn wrong_rules_are_refused() {
        assert!(Rule::parse(true, "p", 1, 3, "rwm").is_err());
        assert!(Rule::parse(true, "c", 1, 3, "").is_err());
        assert!(Rule::parse(true, "c", 1, 3, "rx").is_err());
        assert!(Rule::parse(true, "c", 1 << 40, 3, "r").is_err());
        assert_eq!(rule(true, "c", -1, -1, "m").major, None);
    }

    #[test]
    fn bytes_that_are_no_program_are_einval() {
        let here = std::fs::File::open("/").unwrap();
        let err = attach(std::os::fd::AsFd::as_fd(&here), &[1, 2, 3]).unwrap_err();
        assert_eq!(err.raw_os_error(), Some(libc::EINVAL));
    }
}

//! The programs against a second reading of the rules, by an interpreter and by the kernel.

// The kernel test forks and makes raw system calls in the child.
#![allow(unsafe_code)]

use super::compile::*;
use super::tables::{Abi, ARM_PRIVATE, X32_BIT};

const ALLOW: u32 = 0x7fff_0000;
const LOG: u32 = 0x7ffc_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const ENOSYS: u32 = errno(38);
const PERM: u32 = errno(1);

const fn errno(number: u32) -> u32 {
    0x0005_0000 | number
}

/// `struct seccomp_data` without the instruction pointer.
#[derive(Clone, Copy, Debug)]
struct Call {
    number: u32,
    arch: u32,
    args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16..=60 => {
                let arg = self.args[(offset as usize - 16) / 8];
                if offset & 4 == 0 {
                    arg as u32
                } else {
                    (arg >> 32) as u32
                }
            }
            _ => panic!("load from {offset}"),
        }
    }
}

/// Gives the action and how many instructions it took.
fn run(program: &[Instruction], call: &Call) -> (u32, usize) {
    let (mut at, mut steps, mut word) = (0, 0, 0);
    loop {
        let Instruction { code, if_true, if_false, k } = program[at];
        at += 1;
        steps += 1;
        let holds = match code {
            0x20 => {
                word = call.word(k);
                continue;
            }
            0x54 => {
                word &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x06 => return (k, steps),
            0x15 => word == k,
            0x25 => word > k,
            0x35 => word >= k,
            _ => panic!("instruction {code:#x}"),
        };
        at += usize::from(if holds { if_true } else { if_false });
    }
}

/// What the documentation of the module says, one rule after another.
fn expected(abis: &[Abi], default: u32, rules: &[Rule], call: &Call) -> u32 {
    let x32 = call.number >= X32_BIT && (call.number != u32::MAX || abis.contains(&Abi::X32));
    let Some(abi) = abis.iter().copied().find(|abi| {
        abi.audit() == call.arch && (call.arch != Abi::X86_64.audit() || x32 == (*abi == Abi::X32))
    }) else {
        return KILL_PROCESS;
    };
    let named: Vec<(u32, &Rule)> = rules
        .iter()
        .flat_map(|rule| rule.names.iter().map(move |name| (name, rule)))
        .filter_map(|(name, rule)| Some((abi.number(name)?, rule)))
        .collect();
    let here = || named.iter().filter(|(nr, rule)| *nr == call.number && rule.action != default);
    if let Some((_, rule)) = here().find(|(_, rule)| rule.conditions.is_empty()) {
        return rule.action;
    }
    let mask = if abi.is_64_bit() { u64::MAX } else { 0xffff_ffff };
    let holds = |condition: &Condition| {
        let arg = call.args[condition.index as usize] & mask;
        let (value, two) = (condition.value & mask, condition.value_two & mask);
        match condition.op {
            Op::NotEqual => arg != value,
            Op::Less => arg < value,
            Op::LessOrEqual => arg <= value,
            Op::Equal => arg == value,
            Op::GreaterOrEqual => arg >= value,
            Op::Greater => arg > value,
            Op::MaskedEqual => arg & value == two & value,
        }
    };
    for (_, rule) in here() {
        let mut indices: Vec<u32> = rule.conditions.iter().map(|each| each.index).collect();
        indices.sort_unstable();
        indices.dedup();
        let any = indices.len() < rule.conditions.len();
        let mut conditions = rule.conditions.iter();
        if if any { conditions.any(holds) } else { conditions.all(holds) } {
            return rule.action;
        }
    }
    let newest = named.iter().map(|(nr, _)| *nr).filter(|nr| abi != Abi::Arm || *nr < ARM_PRIVATE).max();
    let refuses = !matches!(default & 0xffff_0000, 0x7fff_0000 | 0x7ffc_0000 | 0x7ff0_0000);
    let private = abi == Abi::Arm && call.number >= ARM_PRIVATE;
    if refuses && !private && newest.is_some_and(|newest| call.number > newest) {
        return ENOSYS;
    }
    default
}

fn rule(names: &[&str], action: u32, conditions: &[(u32, u64, u64, Op)]) -> Rule {
    Rule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action,
        conditions: conditions
            .iter()
            .map(|&(index, value, value_two, op)| Condition { index, value, value_two, op })
            .collect(),
    }
}

const X86: &[&str] = &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];

/// Arguments at the edges of what the rules for a number compare with.
fn edges(abis: &[Abi], rules: &[Rule], number: u32) -> Vec<u64> {
    let names_it =
        |rule: &&Rule| rule.names.iter().any(|name| abis.iter().any(|abi| abi.number(name) == Some(number)));
    let mut values: Vec<u64> = vec![0, u64::MAX, 1 << 32];
    for condition in rules.iter().filter(names_it).flat_map(|rule| &rule.conditions) {
        for value in [condition.value, condition.value_two, condition.value & condition.value_two] {
            let near = [value.wrapping_sub(1), value, value.wrapping_add(1)];
            values.extend(near.iter().flat_map(|each| [*each, each ^ (1 << 32), each ^ (1 << 63)]));
        }
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// Every number around the tables, on every architecture, with arguments at the edges of the rules' values.
fn compare(machine: Machine, architectures: &[&str], default: u32, rules: &[Rule]) -> Vec<Instruction> {
    let program = compile_for(machine, default, architectures, rules).unwrap();
    let abis = machine.abis(architectures).unwrap();
    let lows = (0..600).chain(ARM_PRIVATE - 1..ARM_PRIVATE + 9).chain([X32_BIT - 1, X32_BIT * 2]);
    let numbers: Vec<u32> = lows.chain(X32_BIT..X32_BIT + 600).chain([u32::MAX - 1, u32::MAX]).collect();
    for arch in [Abi::X86_64, Abi::X86, Abi::Aarch64, Abi::Arm].map(Abi::audit).into_iter().chain([0]) {
        for &number in &numbers {
            let values = edges(&abis, rules, number);
            for (place, &value) in values.iter().enumerate() {
                let other = values[(place * 7 + number as usize) % values.len()];
                let call = Call { number, arch, args: [value, other, value, other, value, other] };
                let (action, _) = run(&program, &call);
                assert_eq!(action, expected(&abis, default, rules, &call), "{call:x?}");
            }
        }
    }
    program
}

fn profile() -> Vec<Rule> {
    vec![
        rule(&["read", "write", "openat", "exit_group", "futex", "no_such_call", "close_range"], ALLOW, &[]),
        rule(&["open", "execve", "set_tls", "cacheflush", "ioctl"], ALLOW, &[]),
        rule(&["personality"], ALLOW, &[(0, 0xffff_ffff, 0, Op::Equal)]),
        rule(&["personality"], ALLOW, &[(0, 8, 0, Op::Equal)]),
        rule(&["clone"], ALLOW, &[(0, 0x7e02_0000, 0, Op::MaskedEqual)]),
        rule(&["clone3"], ENOSYS, &[]),
        rule(&["mseal"], PERM, &[]),
        rule(&["kill"], LOG, &[(0, 5, 0, Op::Greater), (1, 1 << 32, 0, Op::Less)]),
        rule(&["kill"], errno(3), &[(0, 5, 0, Op::GreaterOrEqual), (0, 2, 0, Op::LessOrEqual)]),
        rule(
            &["prctl"],
            ALLOW,
            &[(0, (1 << 40) + 3, 0, Op::NotEqual), (1, 7 << 31, 5 << 31, Op::MaskedEqual)],
        ),
    ]
}

#[test]
fn a_profile_means_the_same_on_every_architecture() {
    for default in [PERM, KILL_PROCESS, ALLOW, LOG] {
        compare(Machine::X86_64, X86, default, &profile());
        compare(Machine::X86_64, &[], default, &profile());
        compare(Machine::X86_64, &["SCMP_ARCH_X32", "SCMP_ARCH_S390X"], default, &profile());
        compare(Machine::Aarch64, &["SCMP_ARCH_ARM"], default, &profile());
        compare(Machine::Aarch64, &[], default, &profile());
    }
}

#[test]
fn every_operator_compares_all_bits() {
    let ops = [
        Op::NotEqual,
        Op::Less,
        Op::LessOrEqual,
        Op::Equal,
        Op::GreaterOrEqual,
        Op::Greater,
        Op::MaskedEqual,
    ];
    for op in ops {
        for value in [0, 1, 0xffff_ffff, 1 << 32, 0x1234_5678_9abc_def0, u64::MAX - 1, u64::MAX] {
            let rules = [rule(&["read"], ALLOW, &[(1, value, value & 0xf0f0_ffff_0000_00f0, op)])];
            compare(Machine::X86_64, &["SCMP_ARCH_X86"], PERM, &rules);
        }
    }
}

fn all_names() -> Vec<&'static str> {
    (0..600).filter_map(syscalls::x86_64::Sysno::new).map(|call| call.name()).collect()
}

#[test]
fn jumps_over_more_than_a_byte_holds_arrive() {
    // No two neighbours decide the same, and the tests of one do for no other.
    let rules: Vec<Rule> = (1..)
        .zip(all_names())
        .map(|(at, name)| rule(&[name], errno(at % 3 + 2), &[(0, u64::from(at), 0, Op::Equal)]))
        .collect();
    let program = compare(Machine::X86_64, &[], ALLOW, &rules);
    assert!(program.len() > 1900, "{}", program.len());
}

#[test]
fn a_long_list_is_decided_in_few_steps() {
    let names: Vec<&str> = all_names().into_iter().step_by(2).collect();
    let program = compile_for(Machine::X86_64, PERM, X86, &[rule(&names, ALLOW, &[])]).unwrap();
    let steps = (0..500).map(|number| {
        let call = Call { number, arch: Abi::X86_64.audit(), args: [0; 6] };
        run(&program, &call).1
    });
    assert!(steps.max() < Some(20));
}

#[test]
fn sockets_are_decided_behind_socketcall_too() {
    let rules = [rule(&["socket", "recv"], PERM, &[]), rule(&["bind"], PERM, &[(1, 1, 0, Op::Equal)])];
    let program = compile_for(Machine::X86_64, ALLOW, X86, &rules).unwrap();
    let socketcall = |selector| {
        let args = [selector, 1, 0, 0, 0, 0];
        run(&program, &Call { number: 102, arch: Abi::X86.audit(), args }).0
    };
    assert_eq!([1, 2, 3, 10].map(socketcall), [PERM, ALLOW, ALLOW, PERM]);
}

#[test]
fn what_cannot_be_compiled_is_said() {
    let arch = compile(PERM, &["SCMP_ARCH_VAX"], &[]);
    assert_eq!(arch, Err(CompileError::UnknownArchitecture("SCMP_ARCH_VAX".to_owned())));
    let index = compile(PERM, &[], &[rule(&["read"], ALLOW, &[(6, 0, 0, Op::Equal)])]);
    assert_eq!(index, Err(CompileError::ArgumentIndex(6)));
    assert!("SCMP_CMP_XX".parse::<Op>().is_err());
    let many: Vec<Rule> =
        (0..5000).map(|value| rule(&["read"], ALLOW, &[(0, value, 0, Op::Equal)])).collect();
    let error = compile(PERM, &[], &many).unwrap_err();
    assert!(matches!(error, CompileError::TooLong(count) if count > MAX_INSTRUCTIONS), "{error}");
}

/// Run calls under the filter in a child; gives its wait status.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn in_child(filter: &[u8], calls: fn() -> i32) -> i32 {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len() / 8).unwrap(),
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the child only makes raw system calls and ends by `_exit`: it takes no lock of this process.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: a number is set; no memory is touched.
        let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: the kernel reads `program` and the instructions behind it; both live in the copied memory.
        let loaded = unsafe { libc::syscall(libc::SYS_seccomp, 1, 0, &raw const program) };
        let status = if set == 0 && loaded == 0 { calls() } else { 99 };
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(status) }
    }
    assert!(child > 0);
    let mut status = 0;
    // SAFETY: the kernel writes one int, to `status`.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    status
}

/// The errno of a raw call, 0 if it worked.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn raw(number: libc::c_long, first: u64) -> i32 {
    // SAFETY: used only for calls that take no pointer.
    let result = unsafe { libc::syscall(number, first, 0, 0, 0) };
    if result >= 0 {
        return 0;
    }
    // SAFETY: errno of this thread, set just now.
    unsafe { *libc::__errno_location() }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn the_kernel_decides_as_the_rules_say() {
    let rules = [
        rule(&["exit_group", "exit", "rt_sigreturn", "getppid", "openat2"], ALLOW, &[]),
        rule(&["getpgid"], ALLOW, &[(0, 0, 0, Op::Equal)]),
        rule(&["getpgid"], errno(11), &[(0, 1 << 32, 1 << 32, Op::MaskedEqual)]),
        rule(&["getsid"], KILL_PROCESS, &[]),
    ];
    let filter = compile(PERM, X86, &rules).unwrap();
    let exited = in_child(&filter, || {
        let seen = [
            raw(libc::SYS_getppid, 0),
            raw(libc::SYS_getpgid, 0),
            raw(libc::SYS_getpgid, (1 << 32) + 5),
            raw(libc::SYS_getpgid, 5),
            raw(libc::SYS_getuid, 0),
            raw(400, 0),
            raw(438, 0),
            raw(9999, 0),
        ];
        i32::from(seen != [0, 0, 11, 1, 1, 1, 38, 38])
    });
    assert!(libc::WIFEXITED(exited), "status {exited:#x}");
    assert_eq!(libc::WEXITSTATUS(exited), 0);
    let killed = in_child(&filter, || raw(libc::SYS_getsid, 0));
    assert!(libc::WIFSIGNALED(killed));
    assert_eq!(libc::WTERMSIG(killed), libc::SIGSYS);
}

/// The largest program that this compiler makes is one that the kernel takes.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn the_kernel_takes_a_long_program() {
    let rules: Vec<Rule> = (1..)
        .zip(all_names())
        .filter(|(_, name)| *name != "exit_group")
        .map(|(at, name)| rule(&[name], errno(at % 3 + 2), &[(0, 1 << 33 | u64::from(at), 0, Op::Equal)]))
        .collect();
    let filter = compile(ALLOW, &[], &rules).unwrap();
    assert!(filter.len() > 1900 * 8);
    assert_eq!(in_child(&filter, || raw(libc::SYS_getppid, 0)), 0);
}

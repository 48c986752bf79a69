//! From rules to instructions.
//!
//! Three steps: collect per architecture what the rules say about each syscall; cut the numbers into ranges
//! with the same decision; write the program from its end to its start, so that every jump target is known
//! when the jump is written. Dispatch is a binary search over the ranges: about ten comparisons for a
//! profile with several hundred names.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use super::tables::{Abi, ARM_PRIVATE, X32_BIT};

/// What the kernel accepts at most (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_TRACE: u32 = 0x7ff0_0000;
const RET_LOG: u32 = 0x7ffc_0000;
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_ACTION_MASK: u32 = 0xffff_0000;
const RET_ENOSYS: u32 = RET_ERRNO | 38;

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// `argument & value == value_two`.
    MaskedEqual,
}

impl FromStr for Op {
    type Err = CompileError;

    /// Takes the names of the OCI spec, such as `SCMP_CMP_EQ`.
    fn from_str(name: &str) -> Result<Self, CompileError> {
        Ok(match name {
            "SCMP_CMP_NE" => Self::NotEqual,
            "SCMP_CMP_LT" => Self::Less,
            "SCMP_CMP_LE" => Self::LessOrEqual,
            "SCMP_CMP_EQ" => Self::Equal,
            "SCMP_CMP_GE" => Self::GreaterOrEqual,
            "SCMP_CMP_GT" => Self::Greater,
            "SCMP_CMP_MASKED_EQ" => Self::MaskedEqual,
            _ => return Err(CompileError::UnknownOperator(name.to_owned())),
        })
    }
}

/// One comparison with an argument of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// 0 to 5.
    pub index: u32,
    pub value: u64,
    /// Only for [`Op::MaskedEqual`].
    pub value_two: u64,
    pub op: Op,
}

/// What happens to the named syscalls when all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub names: Vec<String>,
    /// A `SECCOMP_RET_*` value with its data.
    pub action: u32,
    pub conditions: Vec<Condition>,
}

/// Why there is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// Not a `SCMP_ARCH_*` name.
    UnknownArchitecture(String),
    /// Not a `SCMP_CMP_*` name.
    UnknownOperator(String),
    /// A call has the arguments 0 to 5.
    ArgumentIndex(u32),
    /// The filter would need this many instructions.
    TooLong(usize),
    /// There are no tables for the processor that this was built for.
    UnsupportedMachine,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownArchitecture(name) => write!(f, "unknown seccomp architecture {name:?}"),
            Self::UnknownOperator(name) => write!(f, "unknown seccomp operator {name:?}"),
            Self::ArgumentIndex(index) => {
                write!(f, "seccomp argument index {index} is not within 0 to 5")
            }
            Self::TooLong(count) => {
                write!(f, "seccomp filter needs {count} instructions, the kernel takes {MAX_INSTRUCTIONS}")
            }
            Self::UnsupportedMachine => f.write_str("no seccomp tables for this processor"),
        }
    }
}

impl std::error::Error for CompileError {}

/// Make the filter of this machine.
///
/// Gives an array of `struct sock_filter`, 8 bytes each. `architectures` are `SCMP_ARCH_*` names; the native
/// one need not be listed, and those that this machine cannot run have no effect.
///
/// # Errors
/// See [`CompileError`].
pub fn compile(default_action: u32, architectures: &[&str], rules: &[Rule]) -> Result<Vec<u8>, CompileError> {
    let machine = Machine::native().ok_or(CompileError::UnsupportedMachine)?;
    let program = compile_for(machine, default_action, architectures, rules)?;
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in program {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.if_true, instruction.if_false]);
        bytes.extend_from_slice(&instruction.k.to_ne_bytes());
    }
    Ok(bytes)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64,
    Aarch64,
}

impl Machine {
    fn native() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
            Some(Self::Aarch64)
        } else {
            None
        }
    }

    /// The ABIs to filter, the native one first.
    pub(super) fn abis(self, architectures: &[&str]) -> Result<Vec<Abi>, CompileError> {
        if let Some(unknown) = architectures.iter().find(|name| !is_architecture(name)) {
            return Err(CompileError::UnknownArchitecture((*unknown).to_owned()));
        }
        let (native, others): (_, &[_]) = match self {
            Self::X86_64 => (Abi::X86_64, &[("SCMP_ARCH_X32", Abi::X32), ("SCMP_ARCH_X86", Abi::X86)]),
            Self::Aarch64 => (Abi::Aarch64, &[("SCMP_ARCH_ARM", Abi::Arm)]),
        };
        let listed = others.iter().filter(|(name, _)| architectures.contains(name)).map(|(_, abi)| *abi);
        Ok(std::iter::once(native).chain(listed).collect())
    }
}

#[rustfmt::skip]
const ARCHITECTURES: [&str; 24] = [
    "NATIVE", "X86", "X86_64", "X32", "ARM", "AARCH64", "LOONGARCH64", "M68K", "MIPS", "MIPS64", "MIPS64N32",
    "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PARISC", "PARISC64", "PPC", "PPC64", "PPC64LE", "RISCV64", "S390",
    "S390X", "SH", "SHEB",
];

fn is_architecture(name: &str) -> bool {
    name.strip_prefix("SCMP_ARCH_").is_some_and(|rest| ARCHITECTURES.contains(&rest))
}

pub(super) fn compile_for(
    machine: Machine,
    default_action: u32,
    architectures: &[&str],
    rules: &[Rule],
) -> Result<Vec<Instruction>, CompileError> {
    let abis = machine.abis(architectures)?;
    for condition in rules.iter().flat_map(|rule| &rule.conditions) {
        if condition.index > 5 {
            return Err(CompileError::ArgumentIndex(condition.index));
        }
    }
    // The native architecture is asked for first, so its section is written last.
    let mut sections: Vec<(u32, Vec<Range>)> = Vec::new();
    for abi in abis {
        let ranges = ranges(abi, default_action, rules);
        match sections.iter_mut().find(|s| s.0 == abi.audit()) {
            Some((_, lower)) => splice_x32(lower, ranges),
            None => sections.push((abi.audit(), ranges)),
        }
    }
    let mut program = Program::default();
    let mut otherwise = program.ret(RET_KILL_PROCESS);
    for (audit, ranges) in sections.iter().rev() {
        let search = program.search(ranges);
        let start = program.load(OFFSET_NUMBER, search);
        otherwise = program.jump(JEQ, *audit, start, otherwise);
    }
    program.load(OFFSET_ARCH, otherwise);
    program.finish()
}

/// A decision about all numbers from `start` to the next range.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    start: u32,
    decision: Decision,
}

/// The first clause that holds gives the action, else `otherwise`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Decision {
    clauses: Vec<Clause>,
    otherwise: u32,
    /// Whether all 64 bits count.
    wide: bool,
}

impl Decision {
    fn always(action: u32) -> Self {
        Self { clauses: Vec::new(), otherwise: action, wide: false }
    }
}

/// Conditions that all have to hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Clause {
    conditions: Vec<Condition>,
    action: u32,
}

/// Cut the numbers of one ABI into ranges. The first starts at 0, or at [`X32_BIT`] for x32.
fn ranges(abi: Abi, default_action: u32, rules: &[Rule]) -> Vec<Range> {
    let (decisions, newest) = decisions(abi, default_action, rules);
    let refused = Decision::always(default_action);
    let base = if abi == Abi::X32 { X32_BIT } else { 0 };

    let mut starts = BTreeMap::from([(base, refused.clone())]);
    for number in decisions.keys() {
        starts.insert(number.saturating_add(1), refused.clone());
    }
    let mut beyond = refused.clone();
    if let Some(newest) = newest.filter(|_| !lets_through(default_action)) {
        beyond = Decision::always(RET_ENOSYS);
        starts.insert(newest.saturating_add(1), beyond.clone());
    }
    match abi {
        Abi::Arm => {
            starts.entry(ARM_PRIVATE).or_insert(refused);
        }
        // Replaced by the ranges of x32 if it is listed. -1 is no x32 call: a tracer that cancels a call
        // leaves this number behind.
        Abi::X86_64 => {
            starts.insert(X32_BIT, Decision::always(RET_KILL_PROCESS));
            starts.insert(u32::MAX, beyond);
        }
        Abi::X32 | Abi::X86 | Abi::Aarch64 => {}
    }
    starts.extend(decisions);

    let mut ranges: Vec<Range> = Vec::with_capacity(starts.len());
    for (start, decision) in starts {
        if ranges.last().map(|range| &range.decision) != Some(&decision) {
            ranges.push(Range { start, decision });
        }
    }
    ranges
}

/// What the rules say about each number, and the newest number that they name.
fn decisions(abi: Abi, default_action: u32, rules: &[Rule]) -> (BTreeMap<u32, Decision>, Option<u32>) {
    #[derive(Default)]
    struct Verdict {
        clauses: Vec<Clause>,
        always: Option<u32>,
    }
    let mut verdicts: BTreeMap<u32, Verdict> = BTreeMap::new();
    let mut newest = None;
    for rule in rules {
        for name in &rule.names {
            let number = abi.number(name);
            if number.is_some_and(|number| abi != Abi::Arm || number < ARM_PRIVATE) {
                newest = newest.max(number);
            }
            if rule.action == default_action {
                continue;
            }
            if let Some(number) = number {
                let verdict = verdicts.entry(number).or_default();
                if rule.conditions.is_empty() {
                    verdict.always.get_or_insert(rule.action);
                } else {
                    verdict.clauses.extend(clauses(rule));
                }
            }
            if !rule.conditions.is_empty() {
                continue;
            }
            if let Some((multiplexer, selector)) = abi.multiplexed(name) {
                let selected =
                    Condition { index: 0, value: u64::from(selector), value_two: 0, op: Op::Equal };
                newest = newest.max(Some(multiplexer));
                let verdict = verdicts.entry(multiplexer).or_default();
                verdict.clauses.push(Clause { conditions: vec![selected], action: rule.action });
            }
        }
    }
    let decisions = verdicts.into_iter().map(|(number, verdict)| {
        let decision = match verdict.always {
            Some(action) => Decision::always(action),
            None => Decision { clauses: verdict.clauses, otherwise: default_action, wide: abi.is_64_bit() },
        };
        (number, decision)
    });
    (decisions.collect(), newest)
}

/// The conditions of a rule, apart from each other if two look at the same argument.
fn clauses(rule: &Rule) -> Vec<Clause> {
    let mut seen = [false; 6];
    let repeated =
        rule.conditions.iter().any(|condition| std::mem::replace(&mut seen[condition.index as usize], true));
    let size = if repeated { 1 } else { rule.conditions.len() };
    rule.conditions
        .chunks(size)
        .map(|conditions| Clause { conditions: conditions.to_vec(), action: rule.action })
        .collect()
}

/// Whether the default leaves unknown calls to the kernel (or to a tracer), which know `ENOSYS` themselves.
fn lets_through(action: u32) -> bool {
    matches!(action & RET_ACTION_MASK, RET_ALLOW | RET_LOG | RET_TRACE)
}

/// Put the ranges of x32 in the place that x86_64 left for them.
fn splice_x32(x86_64: &mut Vec<Range>, x32: Vec<Range>) {
    x86_64.retain(|range| range.start < X32_BIT);
    x86_64.extend(x32);
}

// Offsets in `struct seccomp_data`; low halves come first, as only little-endian machines are supported.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGS: u32 = 16;

const LD_ABS: u16 = 0x20;
const AND: u16 = 0x54;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const RET: u16 = 0x06;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) if_true: u8,
    pub(super) if_false: u8,
    pub(super) k: u32,
}

impl Instruction {
    fn new(code: u16, k: u32) -> Self {
        Self { code, if_true: 0, if_false: 0, k }
    }
}

/// An instruction, as the number of those that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Label(usize);

/// A program written backwards: each call puts its instructions before all others and gives their label.
#[derive(Default)]
struct Program {
    reversed: Vec<Instruction>,
    decisions: HashMap<Decision, Label>,
}

impl Program {
    fn push(&mut self, instruction: Instruction) -> Label {
        self.reversed.push(instruction);
        Label(self.reversed.len() - 1)
    }

    /// How many instructions the next one would skip to get to the target.
    fn distance(&self, target: Label) -> usize {
        self.reversed.len() - target.0 - 1
    }

    fn ret(&mut self, action: u32) -> Label {
        self.push(Instruction::new(RET, action))
    }

    /// The target itself, or something close that ends up there.
    fn near(&mut self, target: Label) -> Label {
        // One less than the field holds: the other target of the same jump may need a stop as well.
        if self.distance(target) < usize::from(u8::MAX) {
            return target;
        }
        let instruction = self.reversed[target.0];
        if instruction.code == RET {
            return self.push(instruction);
        }
        self.jump_always(target)
    }

    fn jump_always(&mut self, target: Label) -> Label {
        // A program with more instructions than fit is refused in `finish`.
        let distance = u32::try_from(self.distance(target)).unwrap_or(u32::MAX);
        self.push(Instruction::new(JA, distance))
    }

    fn jump(&mut self, code: u16, k: u32, if_true: Label, if_false: Label) -> Label {
        let if_true = self.near(if_true);
        let if_false = self.near(if_false);
        let reach = |distance| u8::try_from(distance).unwrap_or(u8::MAX);
        let instruction = Instruction {
            code,
            if_true: reach(self.distance(if_true)),
            if_false: reach(self.distance(if_false)),
            k,
        };
        self.push(instruction)
    }

    /// Load a word, then go on at `next`.
    fn load(&mut self, offset: u32, next: Label) -> Label {
        if self.distance(next) > 0 {
            self.jump_always(next);
        }
        self.push(Instruction::new(LD_ABS, offset))
    }

    /// The binary search for the range of the loaded number.
    fn search(&mut self, ranges: &[Range]) -> Label {
        match ranges {
            [] => self.ret(RET_KILL_PROCESS),
            [range] => self.decision(&range.decision),
            _ => {
                let (lower, upper) = ranges.split_at(ranges.len() / 2);
                let from = upper[0].start;
                let upper = self.search(upper);
                let lower = self.search(lower);
                self.jump(JGE, from, upper, lower)
            }
        }
    }

    fn decision(&mut self, decision: &Decision) -> Label {
        if let Some(label) = self.decisions.get(decision) {
            // A return costs no more than the jump to a far one.
            if !decision.clauses.is_empty() || self.distance(*label) < usize::from(u8::MAX) {
                return *label;
            }
        }
        let mut label = self.returning(decision.otherwise);
        for clause in decision.clauses.iter().rev() {
            let failed = label;
            label = self.returning(clause.action);
            for condition in clause.conditions.iter().rev() {
                label = self.condition(condition, decision.wide, label, failed);
            }
        }
        self.decisions.insert(decision.clone(), label);
        label
    }

    /// A return that a jump can reach.
    fn returning(&mut self, action: u32) -> Label {
        let decision = Decision::always(action);
        match self.decisions.get(&decision) {
            Some(label) if self.distance(*label) < usize::from(u8::MAX) => *label,
            _ => {
                let label = self.ret(action);
                self.decisions.insert(decision, label);
                label
            }
        }
    }

    fn condition(&mut self, condition: &Condition, wide: bool, yes: Label, no: Label) -> Label {
        let argument = Argument::new(condition.index, wide);
        let Condition { value, value_two, .. } = *condition;
        match condition.op {
            Op::Equal => self.equal(argument, u64::MAX, value, yes, no),
            Op::NotEqual => self.equal(argument, u64::MAX, value, no, yes),
            Op::MaskedEqual => self.equal(argument, value, value_two & value, yes, no),
            Op::Greater => self.above(argument, JGT, value, yes, no),
            Op::LessOrEqual => self.above(argument, JGT, value, no, yes),
            Op::GreaterOrEqual => self.above(argument, JGE, value, yes, no),
            Op::Less => self.above(argument, JGE, value, no, yes),
        }
    }

    fn equal(&mut self, argument: Argument, mask: u64, value: u64, yes: Label, no: Label) -> Label {
        let low = self.equal_half(argument.low, low(mask), low(value), yes, no);
        match argument.high {
            Some(offset) => self.equal_half(offset, high(mask), high(value), low, no),
            None => low,
        }
    }

    fn equal_half(&mut self, offset: u32, mask: u32, value: u32, yes: Label, no: Label) -> Label {
        if mask == 0 {
            return yes;
        }
        let mut next = self.jump(JEQ, value, yes, no);
        if mask != u32::MAX {
            next = self.push(Instruction::new(AND, mask));
        }
        self.load(offset, next)
    }

    /// `code` is how the low halves compare when the high ones are equal.
    fn above(&mut self, argument: Argument, code: u16, value: u64, yes: Label, no: Label) -> Label {
        let jump = self.jump(code, low(value), yes, no);
        let low = self.load(argument.low, jump);
        let Some(offset) = argument.high else {
            return low;
        };
        let same = self.jump(JEQ, high(value), low, no);
        let jump = self.jump(JGT, high(value), yes, same);
        self.load(offset, jump)
    }

    fn finish(mut self) -> Result<Vec<Instruction>, CompileError> {
        if self.reversed.len() > MAX_INSTRUCTIONS {
            return Err(CompileError::TooLong(self.reversed.len()));
        }
        self.reversed.reverse();
        Ok(self.reversed)
    }
}

/// Where the halves of an argument are.
#[derive(Clone, Copy)]
struct Argument {
    low: u32,
    high: Option<u32>,
}

impl Argument {
    fn new(index: u32, wide: bool) -> Self {
        let low = OFFSET_ARGS + 8 * index;
        Self { low, high: wide.then_some(low + 4) }
    }
}

fn low(value: u64) -> u32 {
    (value & u64::from(u32::MAX)) as u32
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

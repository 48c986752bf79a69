//! One variant per step. The numbers and the order of fields have their twin in `kata_hybrid/plan/steps.py`.

use core::ffi::CStr;

use crate::codec::{DecodeError, Field, List, Reader};

macro_rules! steps {
    ($($code:literal $name:ident $text:literal { $($field:ident : $type:ty),* }),* $(,)?) => {
        /// A thing for kata-init to do. Fd fields are indices into the fds that go with the plan, -1 is none.
        #[derive(Debug, Clone)]
        pub enum Step<'a> {
            $(#[allow(missing_docs)] $name { $($field: $type),* }),*
        }

        impl<'a> Step<'a> {
            /// The opcode.
            #[must_use]
            pub fn code(&self) -> u32 {
                match self { $(Step::$name { .. } => $code),* }
            }

            /// What an error message calls the step.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Step::$name { .. } => $text),* }
            }

            /// The name for an opcode, as an error report has it.
            #[must_use]
            pub fn name_of(code: u32) -> &'static str {
                match code { $($code => $text,)* _ => "init" }
            }

            pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                let code = reader.u8("opcode")?;
                let fields = reader.u8("field count")?;
                match code {
                    $($code => {
                        const NAMES: &[&str] = &[$(stringify!($field)),*];
                        if usize::from(fields) != NAMES.len() {
                            return Err(reader.error("another number of fields"));
                        }
                        Ok(Step::$name { $($field: Field::read(reader)?),* })
                    })*
                    _ => Err(reader.error("known opcode")),
                }
            }
        }
    };
}

steps! {
    1 Sync "sync" { point: i64 },
    2 JoinCgroup "join cgroup" { fd: i64 },
    3 OomScoreAdj "set oom_score_adj" { value: i64 },
    4 Setns "join namespace" { fd: i64, flags: i64, path: &'a CStr },
    5 Unshare "unshare" { flags: i64 },
    6 TimeOffsets "set time offsets" { data: &'a [u8] },
    7 Fork "clone" { flags: i64 },
    8 BecomeRoot "become root" {},
    9 Setsid "setsid" {},
    10 LoopbackUp "bring up loopback" {},
    11 RootPropagation "set root propagation" { flags: i64 },
    12 PrepareRootfs "prepare rootfs" { path: &'a CStr, propagation_flags: i64 },
    13 MountFs "mount" { source: &'a CStr, target: &'a CStr, fstype: &'a CStr, flags: i64, data: &'a CStr,
        propagation: &'a [u8], set_attr: i64, clr_attr: i64, rec: i64 },
    14 BindMount "bind mount" { source: &'a CStr, target: &'a CStr, flags: i64, cleared: i64,
        propagation: &'a [u8], set_attr: i64, clr_attr: i64, rec_attr: i64 },
    15 Remount "remount" { target: &'a CStr, flags: i64 },
    16 Symlink "symlink" { target: &'a CStr, path: &'a CStr, replace: i64 },
    17 Device "create device" { path: &'a CStr, kind: i64, major: i64, minor: i64, mode: i64, uid: i64, gid: i64 },
    18 MaskPath "mask path" { path: &'a CStr },
    19 ReadonlyPath "make path read-only" { path: &'a CStr },
    20 Sysctl "set sysctl" { path: &'a CStr, value: &'a CStr },
    21 MakeCwd "create cwd" { path: &'a CStr },
    22 Pivot "change root" { mode: i64 },
    23 RootfsReadonly "make rootfs read-only" {},
    24 Hostname "set hostname" { name: &'a CStr },
    25 Domainname "set domainname" { name: &'a CStr },
    26 Rlimit "set rlimit" { resource: i64, soft: i64, hard: i64 },
    27 NoNewPrivs "set no_new_privs" {},
    28 Seccomp "load seccomp filter" { flags: i64, bpf: &'a [u8] },
    29 BoundingCaps "drop bounding capabilities" { mask: i64 },
    30 User "set user" { uid: i64, gid: i64, groups: &'a [u8], setgroups: i64 },
    31 Caps "set capabilities" { effective: i64, permitted: i64, inheritable: i64, ambient: i64 },
    32 Umask "set umask" { mask: i64 },
    33 Chdir "chdir to cwd" { path: &'a CStr },
    34 Console "set up console" { fd: i64, rows: i64, cols: i64, mount: i64 },
    35 ChownStdio "chown stdio" { uid: i64 },
    36 StdioNull "reopen /dev/null" {},
    37 FindExecutable "find executable" { candidates: List<'a> },
    38 ExecFifo "wait at exec fifo" { fd: i64 },
    39 Hook "run hook" { kind: &'a CStr, index: i64, path: &'a CStr, args: List<'a>, env: List<'a>,
        timeout_ms: i64, state: &'a [u8] },
    40 Exec "execve" { args: List<'a>, env: List<'a>, preserve: i64 },
    42 Personality "set personality" { domain: i64 },
    43 IOPriority "set io priority" { ioclass: i64, priority: i64 },
    44 Scheduler "set scheduler" { attr: &'a [u8] },
    45 SessionKeyring "join session keyring" { name: &'a CStr, join: i64 },
}

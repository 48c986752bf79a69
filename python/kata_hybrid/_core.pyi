"""The Rust core: processes by one clone, their statuses, safe paths, seccomp and device programs.

A file descriptor that goes in is borrowed for the call. One that comes out is the caller's to close, and is
close-on-exec from birth; the exceptions (``fileno``, ``pidfd``) say that they lend theirs. Whatever may block
runs without the interpreter's lock, runs Python's signal handlers when interrupted, and goes on. Every object
may be used by several threads at once.

Nothing here waits for any child but its own, by pidfd, so ``subprocess`` and asyncio keep theirs.
"""

from collections.abc import Sequence
from typing import Any, final

__all__ = [
    "Child",
    "GrpcConnection",
    "InitError",
    "Launch",
    "Reaper",
    "build_info",
    "close_files",
    "describe_plan",
    "device_program",
    "device_program_attach",
    "device_program_query",
    "force_fallback",
    "json_dumps",
    "json_loads",
    "limit_arenas",
    "make_directories",
    "mkdir_in_root",
    "open_beneath",
    "open_files",
    "open_in_root",
    "probe",
    "read_file",
    "reap_orphans",
    "remove_directories",
    "seccomp_compile",
    "set_child_subreaper",
    "spawn",
    "trim_memory",
    "write_file_each",
    "write_new_file",
]

# --- launch ------------------------------------------------------------------------------------------

def spawn(
    plan: bytes,
    *,
    fds: Sequence[int] = (),
    stdio: tuple[int, int, int] = (0, 1, 2),
    clone_flags: int = 0,
    cgroup_fd: int = -1,
    preserve_fds: int = 0,
) -> Launch:
    """Start kata-init on an encoded plan, in one clone whatever the size of this process.

    kata-init has the plan's files and nothing else of ours: every other descriptor closes on exec, signal
    handlers are the defaults, the signal mask and the environment are empty.

    Args:
        plan: as ``kata_hybrid.plan.encode`` makes it; passed on unread.
        fds: the files that the plan's ``fd`` fields count; -1 where there is none.
        stdio: the child's 0, 1 and 2; any descriptors, in any order, also the same twice.
        clone_flags: ``CLONE_NEW*`` of mount, uts, ipc, pid, net and cgroup. A user or time namespace is made
            by a step of the plan.
        cgroup_fd: open cgroup v2 directory to be born in, -1 for none.
        preserve_fds: this many descriptors from 3 on stay open for the workload, also close-on-exec ones.

    Raises:
        OSError: a descriptor is not open, or the kernel refused; the text names the call. Nothing is left.
        ValueError: other flags, or an impossible number of descriptors.

    Blocks until kata-init runs, well below a millisecond as a rule. Sources: clone(2), execveat(2).
    """

@final
class Launch:
    """A process between the clone and ``execve``. Dropped before :meth:`child`, it is killed and reaped."""

    @property
    def pid(self) -> int:
        """Of the process as far as it is known: a ``Fork`` step of the plan changes it."""

    def fileno(self) -> int:
        """The sync socket, lent; readable when :meth:`next` has something to say. -1 once it has ended."""

    def next(self) -> int | None:
        """Wait for kata-init's next sync point.

        Returns:
            The point, for the caller to act on and :meth:`proceed`; ``None`` when the workload has been
            executed or kata-init waits at the exec fifo. A workload that has died at once is no failure.

        Raises:
            InitError: a step failed, or kata-init ended before ``execve``. The process has been reaped.
        """

    def proceed(self) -> None:
        """Let kata-init go on.

        Raises:
            BrokenPipeError: it is gone; :meth:`next` tells why.
        """

    def child(self) -> Child:
        """The process, from now on independent of this launch."""

    def abort(self) -> tuple[int, int] | None:
        """Kill the process, reap it, and give its status. May be repeated."""

class InitError(Exception):
    """A step of the plan failed in kata-init, or kata-init ended without a word.

    Attributes:
        step: what was being done, such as ``"mount"``; ``"init"`` when no step is known.
        index: place of the step in the plan, -1 when no step is known.
        errno: 0 when no system call failed.
        path: what it was done to; may be empty.
        detail: more about it, such as a hook's output or ``"was killed by signal 9"``; may be empty.
    """

    step: str
    index: int
    errno: int
    path: str
    detail: str

def describe_plan(plan: bytes) -> list[str]:
    """Each step of an encoded plan as kata-init understands it: ``Setns { fd: 0, flags: 0, path: "" }``.

    Raises:
        ValueError: not a plan; the text has the offset.
    """

# --- processes ---------------------------------------------------------------------------------------

@final
class Child:
    """One process and its pidfd. Its status is taken from the kernel once and kept for ever.

    A status is ``(exit code, 0)`` or ``(0, signal)``; ``(-1, -1)`` for a process that is not our child when
    the kernel keeps no status (before Linux 6.15, or when its parent does not reap it within 0.1 seconds).
    """

    @staticmethod
    def open(pid: int, start_time: int) -> Child:
        """The process ``pid`` that started at ``start_time`` (clock ticks after boot; field 22 of its stat).

        Raises:
            ProcessLookupError: there is no such process, or another one has its pid.
        """

    @property
    def pid(self) -> int: ...
    def pidfd(self) -> int:
        """Lent; readable once the process has ended."""

    def fileno(self) -> int:
        """The pidfd, for select and asyncio."""

    def wait(self, timeout: float | None = None) -> tuple[int, int] | None:
        """The status; ``None`` when ``timeout`` seconds pass first. Any number of threads may wait."""

    def poll(self) -> tuple[int, int] | None:
        """The status, or ``None`` while it runs."""

    def ended(self, timeout: float | None = 0.0) -> bool:
        """Whether it has ended, at once or after ``timeout`` seconds. Does not take the status."""

    def send_signal(self, sig: int) -> None:
        """Signal just this process, never another that got its pid.

        Raises:
            ProcessLookupError: it has ended and been waited for.
            OSError: ``EPERM``, ``EINVAL``.
        """

@final
class Reaper:
    """The ends of many children as one readable descriptor: an epoll over their pidfds."""

    def __new__(cls) -> Reaper: ...
    def add(self, child: Child, token: int) -> None:
        """Watch ``child``; one that has ended already is reported by the next :meth:`drain`."""

    def fileno(self) -> int:
        """Lent; readable when :meth:`drain` has something.

        Raises:
            ValueError: the reaper is closed; so for the other methods.
        """

    def drain(self) -> list[tuple[int, tuple[int, int]]]:
        """``(token, status)`` of those that have ended; they are not watched any more. Does not wait."""

    def close(self) -> None:
        """Forget everything; the children keep their statuses. May be repeated."""

def reap_orphans(owned: Sequence[int]) -> list[tuple[int, int, int]]:
    """Reap every dead child that nobody owns: ``(pid, exit code, signal)`` of each. Does not wait.

    Args:
        owned: pids to leave alone, beside those of every living :class:`Child` and :class:`Launch`: children
            of ``subprocess``, say.
    """

def set_child_subreaper(on: bool) -> None:
    """Adopt orphaned descendants, or stop that. Source: PR_SET_CHILD_SUBREAPER(2const)."""

# --- files ---------------------------------------------------------------------------------------------

def read_file(path: str, *, flags: int = 0, limit: int | None = None, regular: bool = False) -> bytes:
    """The file's content; with a ``limit`` in bytes, not much more than that.

    Begins again after a signal whose handler raised nothing.

    Args:
        flags: ``O_*`` beside O_RDONLY and O_CLOEXEC.
        regular: refuse what is no regular file, at once: a FIFO would wait for its writer.

    Raises:
        OSError: as open(2) and read(2).
        ValueError: the path holds a NUL, or what it names is not ``regular``.
    """

def write_file_each(path: str, values: Sequence[bytes]) -> tuple[int, int] | None:
    """Write each value by one write(2) to a file that is there.

    Returns:
        None, or the place of the refused value (-1: the file could not be opened) and the errno.
    """

def write_new_file(path: str, data: bytes) -> None:
    """A new file, mode 0600. On failure it is gone.

    Raises:
        OSError: as open(2) and write(2); EEXIST when the name is taken.
    """

def make_directories(paths: Sequence[str], mode: int) -> list[int]:
    """mkdir(2) of each: 0 or the errno."""

def remove_directories(paths: Sequence[str]) -> list[int]:
    """rmdir(2) of each: 0 or the errno."""

def open_files(paths: Sequence[str], flags: int) -> list[int]:
    """open(2) of each with O_CLOEXEC: a descriptor that the caller closes, or the errno below zero."""

def close_files(fds: Sequence[int]) -> None:
    """Close descriptors that the caller owns."""

# --- paths -------------------------------------------------------------------------------------------

def open_in_root(root_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """Open ``path`` as if ``root_fd`` were ``/``: absolute links and ``..`` stay inside.

    Raises:
        OSError: as open(2); ``ELOOP`` for a magic link.
    """

def mkdir_in_root(root_fd: int, path: str, mode: int) -> int:
    """Make the missing directories of ``path`` below ``root_fd``; gives an ``O_PATH`` descriptor of the last.

    Raises:
        OSError: as mkdir(2).
    """

def open_beneath(dir_fd: int, path: str, flags: int, mode: int = 0, *, no_symlinks: bool = True) -> int:
    """Open ``path`` below ``dir_fd``; a way out of it is an error.

    Raises:
        OSError: as open(2); ``EXDEV`` for a way out, ``ELOOP`` for a symlink with ``no_symlinks``.
    """

# --- programs for the kernel -------------------------------------------------------------------------

def seccomp_compile(
    default_action: int,
    architectures: Sequence[str],
    syscalls: Sequence[tuple[Sequence[str], int, Sequence[tuple[int, int, int, str]]]],
) -> bytes:
    """A profile as classic BPF for this machine.

    Args:
        default_action: a ``SECCOMP_RET_*`` value with its data in the low half, as every action here.
        architectures: ``SCMP_ARCH_*``; the native one need not be listed.
        syscalls: ``(names, action, conditions)``, a condition being ``(argument, value, second value,
            "SCMP_CMP_*")``.

    Raises:
        ValueError: an unknown architecture or operator, or a filter that is too long.
    """

def device_program(rules: Sequence[tuple[bool, str, int, int, str]]) -> bytes:
    """Device rules as an eBPF program for a cgroup v2.

    Args:
        rules: ``(allow, type, major, minor, access)``; later ones win, -1 is any number, and what no rule
            names is denied.

    Raises:
        ValueError: a wrong type, number or access.
    """

def device_program_attach(cgroup_fd: int, insns: bytes) -> None:
    """Put a device program in the place of those attached to the group; there is no moment without one.

    Raises:
        OSError: as bpf(2).
    """

def device_program_query(cgroup_fd: int) -> int:
    """How many device programs are attached to the group itself.

    Raises:
        OSError: as bpf(2).
    """

# --- the host ----------------------------------------------------------------------------------------

def probe() -> dict[str, bool]:
    """Which features the kernel has."""

def build_info() -> dict[str, str]:
    """``version``, ``profile``, ``target`` and ``init_bytes``, the size of kata-init."""

def force_fallback(name: str, on: bool) -> None:
    """For tests: take a feature for missing, in the whole process.

    Args:
        name: ``openat2``, ``clone3``, ``memfd_exec``, ``close_range`` or ``mount_setattr``.

    Raises:
        ValueError: no such fallback.
    """

def limit_arenas(count: int) -> None:
    """Let threads still to come share ``count`` heaps of glibc's allocator; nothing where there is none."""

def trim_memory() -> None:
    """Give free heap memory back to the kernel (malloc_trim(3)); nothing where the libc has no such call."""

# --- gRPC --------------------------------------------------------------------------------------------

@final
class GrpcConnection:
    """The server's side of gRPC over one HTTP/2 connection, for unary calls, on a socket of the caller's.

    The socket must not block; nothing here does. A peer that breaks the protocol gets its GOAWAY by the next
    ``send``, and ``closed`` is True from then on. Compressed requests, too large ones and what is no gRPC
    call are answered without the caller's knowledge. While ``send`` says False, do not ``receive``: a peer
    that asks and does not read waits, instead of filling memory.

    Args:
        max_message: bytes of the largest request message; a larger one is refused as RESOURCE_EXHAUSTED.
    """

    def __new__(cls, max_message: int) -> GrpcConnection: ...
    def receive(self, fd: int) -> list[tuple[int, str | None, bytes | None]] | None:
        """Read once from the socket; what is new of the calls, in order. None: the peer has closed.

        A new call is ``(stream, path, message)`` with a path such as ``/grpc.Health/Check``. ``(stream, None,
        None)``: the peer has given this call up, which may have been answered before.

        Raises:
            OSError: the connection is broken.
        """

    def send(self, fd: int) -> bool:
        """Write what there is to be sent; False when the socket takes no more now.

        Raises:
            OSError: the connection is broken.
        """

    def respond(self, stream: int, message: bytes) -> bool:
        """Answer a call, by the next ``send``; False: it is gone, and nobody will read the answer."""

    def refuse(self, stream: int, code: int, text: str) -> None:
        """Answer a call by a status of failure."""

    def is_sent(self, stream: int) -> bool:
        """The answer has been made into frames; False while it waits for the peer to take more."""

    def shut_down(self) -> None:
        """Tell the peer to start no more calls; those under way may still be answered."""

    @property
    def closed(self) -> bool:
        """The connection has failed: send what is left and close it."""

# --- JSON --------------------------------------------------------------------------------------------

def json_loads(data: bytes) -> Any:
    """The value of a JSON text in UTF-8, as ``json.loads`` has it.

    Raises:
        ValueError: it is no JSON, or holds what is left to the ``json`` package: a float, an integer beyond
            64 bits, half a surrogate pair, more than 127 levels. Ask that package, as ``kata_hybrid._json``
            does, for the value or for the text of the error.
    """

def json_dumps(value: object, *, ensure_ascii: bool = True, indent: int = 0) -> str:
    """A value as JSON, as ``json.dumps`` writes it without blanks, or indented.

    Args:
        value: of str, int, bool, None, list, tuple and dict with str keys, and no subclass of those.
        ensure_ascii: escape everything else.
        indent: blanks for each level; 0 is one line.

    Raises:
        ValueError: another value, or one of those that ``json_loads`` does not read. See there.
    """

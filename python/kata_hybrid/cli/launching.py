"""What ``create``, ``run`` and ``exec`` share: options, and what comes with the caller's environment."""

from __future__ import annotations

import os

from .options import FLAG, Option
from .texts import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import replace

    from ..oci.config import Process as ProcessConfig
    from ..oci.config import Spec
    from ..runtime import Process
    from .options import Parsed
else:
    from kata_hybrid._record import replace

FIRST_FD = 3

CREATE_OPTIONS: tuple[Option, ...] = (
    Option(("bundle", "b"), help="the bundle's directory (default: the current one)"),
    Option(("console-socket",), help="unix socket that gets the terminal's master"),
    Option(("pidfd-socket",), help="unix socket that gets a pidfd of the process"),
    Option(("pid-file",), help="file to write the process id to"),
    Option(("no-pivot",), FLAG, "move the root instead of pivot_root"),
    Option(("no-new-keyring",), FLAG, "stay in the caller's session keyring"),
    Option(("preserve-fds",), help="number of descriptors from 3 on to hand over"),
)


def load_bundle(given: Parsed) -> tuple[str, Spec]:
    """The absolute bundle directory and its configuration.

    Raises:
        ConfigError: there is none, or it is wrong.
    """
    from ..oci.load import load_spec

    bundle = os.path.abspath(given.value("bundle") or ".")
    return bundle, load_spec(bundle)


def absolute(path: str | None) -> str | None:
    """A path that means the same in every working directory."""
    return None if path is None else os.path.abspath(path)


def listen_fds(environ: Mapping[str, str], pid: int) -> int:
    """How many sockets the service manager handed to process ``pid`` (sd_listen_fds(3))."""
    count = environ.get("LISTEN_FDS", "")
    owner = environ.get("LISTEN_PID", "")
    return int(count) if count.isdecimal() and owner == str(pid) else 0


def with_listen_fds(process: ProcessConfig, count: int) -> ProcessConfig:
    """The process with the variables that say where the sockets are; unchanged when there are none."""
    if count == 0:
        return process
    return replace(process, env=(*process.env, f"LISTEN_FDS={count}", "LISTEN_PID=1"))


def preserved(given: Parsed, sockets: int) -> int:
    """How many descriptors from 3 on are handed over.

    Raises:
        CommandError: one of them is not open.
    """
    wanted = given.number("preserve-fds")
    for fd in range(FIRST_FD + sockets, FIRST_FD + sockets + wanted):
        try:
            os.fstat(fd)
        except OSError as err:
            reason = os.strerror(err.errno or 0).lower()
            message = f"unable to stat preserved-fd {fd - FIRST_FD - sockets} (of {wanted}): {reason}"
            raise CommandError(message) from None
    return sockets + wanted


def check_terminal(given: Parsed, *, terminal: bool, detach: bool) -> None:
    """A detached terminal must be handed to somebody, and only such a one can be.

    Raises:
        CommandError: the options do not go together.
    """
    console = given.value("console-socket")
    if detach and terminal and not console:
        raise CommandError("cannot allocate tty if runc will detach without setting console socket")
    if console and not (detach and terminal):
        raise CommandError("cannot use console socket if runc will not detach or allocate tty")


def send_pidfd(path: str | None, process: Process, payload: bytes) -> None:
    """Send the process's pidfd to the listener at ``path``; nothing to do when there is none.

    Raises:
        CommandError: nobody listens there.
    """
    if not path or process.child is None:
        return
    import socket  # most callers ask for none

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(path)
            socket.send_fds(sock, [payload], [process.child.pidfd()])
        except OSError as err:
            raise CommandError(f"failed to dial {path}: {os.strerror(err.errno or 0).lower()}") from err

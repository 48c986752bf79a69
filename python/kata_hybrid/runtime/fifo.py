"""The exec fifo: where a created init process waits, and what ``start`` reads.

The init opens it for writing, which blocks until a reader is there, and writes one byte just before it
goes on. The reader opens without blocking and polls the fifo together with the init's pidfd, so a dead
init never makes it hang. Same rule as runc's, so each may start what the other created.

Sources: fifo(7); runc docs/spec.md (behaviour).
"""

from __future__ import annotations

import os

from kata_hybrid.errors import LaunchError, StatusError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kata_hybrid import _core

FIFO_MODE = 0o622


def make_fifo(path: str, *, uid: int, gid: int) -> None:
    """Make the fifo, writable by the container's root (``uid``, ``gid`` on the host) and by no umask hidden.

    Raises:
        LaunchError: the file system refused.
    """
    try:
        os.mkfifo(path, FIFO_MODE)
        os.chmod(path, FIFO_MODE)
        if (uid, gid) != (os.geteuid(), os.getegid()):
            os.chown(path, uid, gid)
    except OSError as err:
        raise LaunchError("make exec fifo", err.errno, path) from err


def release_init(path: str, child: _core.Child, *, container_id: str) -> None:
    """Let the init process that waits at ``path`` go on; the fifo is gone afterwards.

    Raises:
        StatusError: the init died first, or somebody else has just started the container.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise _already_running(container_id) from None
    try:
        if not _read_byte(fd, child, container_id):
            raise _already_running(container_id)
    finally:
        os.close(fd)
    try:
        os.unlink(path)
    except FileNotFoundError:  # the other reader of a race was quicker: gone is what we want
        return


def _read_byte(fd: int, child: _core.Child, container_id: str) -> bytes:
    """The init's byte; ``b""`` when the fifo was used up by another reader."""
    import select

    poller = select.poll()
    poller.register(fd, select.POLLIN)
    poller.register(child.fileno(), select.POLLIN)
    ready = dict(poller.poll())
    if fd in ready:
        return os.read(fd, 1)
    try:
        return os.read(fd, 1)  # it may have written and died between two looks
    except BlockingIOError as err:
        message = "cannot start a container that has stopped"
        raise StatusError(message, status="stopped", verb="start", container_id=container_id) from err


def _already_running(container_id: str) -> StatusError:
    message = "cannot start an already running container"
    return StatusError(message, status="running", verb="start", container_id=container_id)

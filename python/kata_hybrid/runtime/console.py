"""Handing over a terminal's master.

The init process opens the terminal inside the container and sends its master over a unix stream socket,
one message with one descriptor. Either that socket leads to the caller's listening socket
(``console_socket``, as engines want it), or to us, and the library keeps the master.

Sources: runc docs/terminals.md (behaviour), unix(7), pty(7).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import termios

from kata_hybrid.errors import LaunchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import ExitStack
    from typing import Final

RECEIVE_TIMEOUT_SECONDS: Final = 10.0


def connect_console(path: str) -> socket.socket:
    """Connect to the caller's listening socket before anything of the container exists.

    Paths longer than an address holds (107 bytes) go through a descriptor of their directory.

    Raises:
        LaunchError: nobody listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if len(os.fsencode(path)) < 108:
            sock.connect(path)
        else:
            directory_fd = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                sock.connect(f"/proc/self/fd/{directory_fd}/{os.path.basename(path)}")
            finally:
                os.close(directory_fd)
    except OSError as err:
        sock.close()
        raise LaunchError("connect console socket", err.errno, path) from err
    return sock


class Console:
    """The socket that a launch gives to the init process, and what comes back over it.

    Attributes:
        child_fd: for the plan's ``console`` request; owned here.
    """

    def __init__(self, undo: ExitStack, path: str | None) -> None:
        self._ours: socket.socket | None = None
        if path is None:
            self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            undo.callback(self._ours.close)
        else:
            theirs = connect_console(path)
        self._theirs = theirs
        undo.callback(theirs.close)
        self.child_fd = theirs.fileno()

    def receive(self) -> int | None:
        """The master, owned by the caller; None when it went to a ``console_socket``.

        Raises:
            LaunchError: no terminal came.
        """
        self._theirs.close()
        if self._ours is None:
            return None
        with self._ours as ours:
            ours.setblocking(False)
            poller = select.poll()
            poller.register(ours, select.POLLIN)
            if not poller.poll(RECEIVE_TIMEOUT_SECONDS * 1000):
                raise LaunchError("receive console", errno.ETIMEDOUT)
            _, fds, _, _ = socket.recv_fds(ours, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        if len(fds) != 1:
            raise LaunchError("receive console", errno.EBADMSG, detail=f"{len(fds)} descriptors")
        return fds[0]


def set_window_size(master_fd: int, *, rows: int, columns: int) -> None:
    """Tell the terminal its size in characters; its foreground processes get SIGWINCH. ioctl_tty(2)."""
    fcntl.ioctl(master_fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

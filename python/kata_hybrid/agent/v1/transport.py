"""Where the server listens. A unix socket so far; vsock and virtio-serial are further transports."""

from __future__ import annotations

import logging
import os
import socket
import stat
from typing import Protocol

from kata_hybrid.errors import ConfigError

log = logging.getLogger(__name__)

SOCKET_MODE = 0o600
BACKLOG = 128


class Transport(Protocol):
    """A way for the host to reach the server."""

    def listen(self) -> socket.socket:
        """A listening socket that does not block; the caller closes it.

        Raises:
            OSError: the address cannot be had.
        """

    def close(self) -> None:
        """Leave nothing behind. Idempotent."""


class UnixTransport:
    """A socket file of mode 0600. A file that a dead server left is replaced; a live one is not.

    Args:
        path: absolute.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._ours: tuple[int, int] | None = None

    def listen(self) -> socket.socket:
        """Listen.

        Raises:
            OSError: somebody listens there already, or the directory is missing.
        """
        _remove_dead(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            previous = os.umask(0o777 & ~SOCKET_MODE)
            try:
                listener.bind(self.path)
            finally:
                os.umask(previous)
            facts = os.stat(self.path)
            self._ours = (facts.st_dev, facts.st_ino)
            listener.listen(BACKLOG)
        except OSError as err:
            listener.close()
            raise OSError(err.errno, f"cannot listen on {self.path}: {err.strerror}") from err
        return listener

    def close(self) -> None:
        """Remove the socket file if it is still ours."""
        if self._ours is None:
            return
        try:
            facts = os.lstat(self.path)
            if (facts.st_dev, facts.st_ino) == self._ours:
                os.unlink(self.path)
        except FileNotFoundError:  # somebody has removed it
            log.debug("%s is gone already", self.path)
        self._ours = None


def parse_listen(address: str) -> Transport:
    """The transport of ``unix:///path`` or ``unix:/path``.

    Raises:
        ConfigError: another scheme, or a path that is not absolute.
    """
    scheme, separator, rest = address.partition(":")
    path = rest.removeprefix("//")
    if scheme != "unix" or not separator or not path.startswith("/"):
        raise ConfigError("--listen", f"'{address}' is not unix:///absolute/path")
    return UnixTransport(path)


def _remove_dead(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(f"{path} exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(f"somebody listens on {path} already")

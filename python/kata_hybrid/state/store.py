"""The state root: one directory per container, files written whole or not at all.

The ``mkdir`` of a container's directory is what makes its id unique, as with runc, so both can share a root.
Writers of one container are ordered by a lock on the directory itself (flock(2)), which needs no file and
ends with its holder. A reader never sees half a file: writes go to a temporary file and are renamed.
"""

from __future__ import annotations

import os
import stat

from .._core import read_file, write_new_file
from ..errors import ConfigError, ContainerExists, ContainerNotFound, StateError
from .document import parse_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import contextmanager, suppress
    from dataclasses import replace
    from typing import TypeVar

    from .document import StateDocument
    from .sidecar import Sidecar

    T = TypeVar("T")
else:
    from kata_hybrid._light import contextmanager, suppress
    from kata_hybrid._record import replace

STATE_FILE = "state.json"
SIDECAR_FILE = "kata-hybrid.json"
FIFO_NAME = "exec.fifo"

_ID = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-")
_MAX_ID_BYTES = 255  # NAME_MAX: the id is a directory's name
_MAX_FILE_BYTES = 64 * 1024 * 1024


def check_container_id(container_id: str) -> None:
    """Refuse what is no container id: it becomes a directory's and a cgroup's name.

    Raises:
        ConfigError: empty, too long, or with other characters than letters, digits and ``_+.-``.
    """
    if not container_id:
        raise ConfigError("id", "container id cannot be empty")
    if not _ID.issuperset(container_id) or container_id in (".", ".."):
        raise ConfigError("id", "invalid container ID format")
    if len(container_id) > _MAX_ID_BYTES:
        raise ConfigError("id", f"longer than {_MAX_ID_BYTES} bytes")


class Store:
    """All containers below one root. Holds no state: every call asks the filesystem."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(os.fspath(root))

    def reserve(self, container_id: str) -> StateDir:
        """Make the container's directory, 0711, and the root, 0700, if need be.

        Raises:
            ConfigError: not a container id.
            ContainerExists: the id is taken.
            StateError: the directory cannot be made.
        """
        check_container_id(container_id)
        path = os.path.join(self.root, container_id)
        try:
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            os.mkdir(path, 0o711)
            os.chmod(path, 0o711)  # whatever the umask
        except FileExistsError:
            raise ContainerExists(
                "container with given ID already exists", container_id=container_id
            ) from None
        except OSError as err:
            raise StateError(f"cannot make the directory: {err.strerror}", path=path) from err
        return StateDir(path)

    def load(self, container_id: str) -> StateDir:
        """The directory of a container, which may be half made.

        Raises:
            ConfigError: not a container id.
            ContainerNotFound: there is none.
        """
        check_container_id(container_id)
        path = os.path.join(self.root, container_id)
        if not _is_directory(path):
            raise ContainerNotFound("container does not exist", container_id=container_id)
        return StateDir(path)

    def list(self) -> list[str]:
        """Ids of all containers, sorted, half made ones included; empty when there is no root.

        Raises:
            StateError: the root cannot be read.
        """
        try:
            with os.scandir(self.root) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except OSError as err:
            raise StateError(f"cannot list containers: {err.strerror}", path=self.root) from err
        return sorted(name for name in names if _ID.issuperset(name))


class StateDir:
    """One container's directory."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.container_id = os.path.basename(path)
        self.fifo_path = os.path.join(path, FIFO_NAME)
        self.document_path = os.path.join(path, STATE_FILE)
        self.sidecar_path = os.path.join(path, SIDECAR_FILE)

    @contextmanager
    def lock(self, *, exclusive: bool = True) -> Iterator[None]:
        """Hold the container's lock; blocks while another process or thread has it. Not reentrant.

        Raises:
            ContainerNotFound: the directory is gone, or went while waiting.
            StateError: it cannot be locked.
        """
        import fcntl  # who only reads does not lock

        fd = self._open_directory()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            if os.fstat(fd).st_nlink == 0:
                raise self._not_found()
            yield
        finally:
            os.close(fd)

    def has_document(self) -> bool:
        """Whether the container got as far as having a ``state.json``."""
        try:
            status = os.lstat(self.document_path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return status.st_size > 0 or not stat.S_ISREG(status.st_mode)

    def read(self) -> StateDocument:
        """The state document.

        Raises:
            ContainerNotFound: there is none (yet).
            StateError: unreadable, torn or foreign.
        """
        data = self._read_file(self.document_path)
        if data is None:
            raise self._not_found()
        document = parse_document(data, path=self.document_path)
        # the directory is what every verb names; runc, too, does not trust the member
        return document if document.id == self.container_id else replace(document, id=self.container_id)

    def write(self, document: StateDocument) -> None:
        """Replace the state document, whole or not at all.

        Raises:
            ContainerNotFound: the directory is gone.
            StateError: it cannot be written; the old one is still there.
        """
        self.stage(document)()

    def stage(self, document: StateDocument) -> Callable[[], None]:
        """:meth:`write` up to its last step, the rename, which the returned function does.

        A staged file that is never renamed goes with the directory. Both raise as :meth:`write`.
        """
        return self._stage_file(self.document_path, document.to_bytes())

    def read_sidecar(self) -> Sidecar | None:
        """Our own facts, None when there are none (runc made the container).

        Raises:
            StateError: unreadable or torn.
        """
        from .sidecar import parse_sidecar

        data = self._read_file(self.sidecar_path)
        return None if data is None else parse_sidecar(data, path=self.sidecar_path)

    def write_sidecar(self, sidecar: Sidecar) -> None:
        """Replace our own facts, whole or not at all.

        Raises:
            ContainerNotFound: the directory is gone.
            StateError: it cannot be written.
        """
        self._stage_file(self.sidecar_path, sidecar.to_bytes())()

    def remove(self) -> None:
        """Remove the directory and what is in it; links are removed, not followed. Idempotent.

        Raises:
            StateError: something cannot be removed.
        """
        try:
            remove_tree(self.path)
        except OSError as err:
            raise StateError(f"cannot remove the directory: {err.strerror}", path=self.path) from err

    def _open_directory(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._not_found() from None
        except OSError as err:
            raise StateError(f"cannot open the directory: {err.strerror}", path=self.path) from err

    def _read_file(self, path: str) -> bytes | None:
        """Content of a regular file, None when it is empty or not there.

        O_NONBLOCK so that a FIFO in its place cannot hang us.
        """
        try:
            data = read_file(path, limit=_MAX_FILE_BYTES, flags=os.O_NOFOLLOW | os.O_NONBLOCK)
            if not data and not stat.S_ISREG(os.lstat(path).st_mode):
                raise StateError("cannot read: not a file", path=path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as err:
            raise StateError(f"cannot read: {err.strerror}", path=path) from err
        if len(data) > _MAX_FILE_BYTES:
            raise StateError(f"larger than {_MAX_FILE_BYTES} bytes", path=path)
        return data or None

    def _stage_file(self, path: str, data: bytes) -> Callable[[], None]:
        temporary = self._told(path, lambda: write_temporary(path, data))
        return lambda: self._told(path, lambda: put_in_place(temporary, path))

    def _told(self, path: str, work: Callable[[], T]) -> T:
        try:
            return work()
        except FileNotFoundError:
            raise self._not_found() from None
        except OSError as err:
            raise StateError(f"cannot write: {err.strerror}", path=path) from err

    def _not_found(self) -> ContainerNotFound:
        return ContainerNotFound("container does not exist", container_id=self.container_id)


def write_temporary(path: str, data: bytes) -> str:
    """Put ``data`` into a new file, mode 0600, beside ``path``; gives its name.

    Not synced to disk, which would take a millisecond or three: no container outlives the machine's power,
    and a file that a failure of it left empty counts as not there.

    Raises:
        OSError: it cannot be written; the temporary file is gone.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.{os.urandom(6).hex()}")
    write_new_file(temporary, data)
    return temporary


def put_in_place(temporary: str, path: str) -> None:
    """Give the file its name: a reader sees the old one or the new one.

    Raises:
        OSError: nothing was changed, the temporary file is gone.
    """
    try:
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def remove_tree(name: str, dir_fd: int | None = None) -> None:
    """Remove a file or a directory with all it holds, by descriptors: links are removed, not followed.

    What another process removes at the same time is as good as removed. (``shutil`` would do, for three
    milliseconds of import.)

    Raises:
        OSError: something cannot be removed.
    """
    try:
        if not stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=dir_fd)
            return
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            for child in os.listdir(fd):
                remove_tree(child, fd)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)

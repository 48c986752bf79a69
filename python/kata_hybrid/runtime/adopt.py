"""Containers that are known only from disk: made by another process, by runc, or half made.

A pid in a state file is a claim. It becomes a pidfd only when the process's start time is the recorded
one, so that nothing here can touch a stranger that got the number later.
"""

from __future__ import annotations

import os

from kata_hybrid import _core
from kata_hybrid.cgroups.manager import from_paths
from kata_hybrid.errors import ContainerNotFound, StateError
from kata_hybrid.oci.config import NamespaceType
from kata_hybrid.runtime.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import suppress

    from kata_hybrid.cgroups import Manager
    from kata_hybrid.oci.config import Spec
    from kata_hybrid.state import StateDir, StateDocument, Store
else:
    from kata_hybrid._light import suppress

CONFIG_FILE = "config.json"
"""In the state directory: a configuration that was given as an object and so is in no bundle."""


def manager_of(document: StateDocument) -> Manager:
    """The cgroups that the state file names."""
    return from_paths(document.cgroup_paths)


def init_of(document: StateDocument) -> Process:
    """The init process that the state file names; a dead one when pid and start time do not agree."""
    child: _core.Child | None = None
    if document.pid > 0:
        with suppress(ProcessLookupError):
            child = _core.Child.open(document.pid, document.start_time)
    return Process(child, container_id=document.id, exec_id=document.id, pid=document.pid)


def write_spec(directory: StateDir, spec: Spec) -> None:
    """Keep a configuration that no bundle has.

    Raises:
        StateError: it cannot be written.
    """
    from kata_hybrid import _json
    from kata_hybrid.oci.encode import spec_to_dict

    path = os.path.join(directory.path, CONFIG_FILE)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="ascii") as file:
            file.write(_json.dumps(spec_to_dict(spec)))
    except OSError as err:
        raise StateError(f"cannot write: {err.strerror}", path=path) from err


def spec_of(directory: StateDir, document: StateDocument) -> Spec:
    """The configuration: the one kept in the state directory, else the bundle's.

    Raises:
        ConfigError: the file is gone or wrong.
    """
    from kata_hybrid.oci.load import load_spec

    kept = os.path.exists(os.path.join(directory.path, CONFIG_FILE))
    return load_spec(directory.path if kept else document.bundle)


def has_private_pid_namespace(document: StateDocument) -> bool:
    """A pid namespace of its own: its processes end with its init."""
    return document.namespaces.get(NamespaceType.PID) == ""


def remove_half_made(store: Store, container_id: str) -> bool:
    """Remove what a runtime that was killed in the middle of ``create`` has left; whether there was any.

    Waits while somebody is creating the container right now, and leaves it alone then.
    """
    try:
        directory = store.load(container_id)
        with directory.lock():
            if directory.has_document():
                return False
            sidecar = directory.read_sidecar()
            if sidecar is not None and sidecar.cgroup_paths:
                from kata_hybrid.runtime.destroy import kill_everything

                manager = from_paths(sidecar.cgroup_paths)
                kill_everything(manager, None)
                manager.delete()
            directory.remove()
            return True
    except ContainerNotFound:
        return False

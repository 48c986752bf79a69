"""Containers that are known only from disk: made by another process, by runc, or half made.

A pid in a state file is a claim. It becomes a pidfd only when the process's start time is the recorded
one, so that nothing here can touch a stranger that got the number later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kata_hybrid import _core, cgroups
from kata_hybrid.oci import load_spec
from kata_hybrid.runtime.destroy import kill_everything
from kata_hybrid.runtime.process import Process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kata_hybrid.cgroups import Manager
    from kata_hybrid.oci.config import Hook, Spec
    from kata_hybrid.state import StateDocument


HOOK_FIELDS = {
    "prestart": "prestart",
    "createRuntime": "create_runtime",
    "createContainer": "create_container",
    "startContainer": "start_container",
    "poststart": "poststart",
    "poststop": "poststop",
}


def manager_of(document: StateDocument) -> Manager:
    """The cgroups that the state file names."""
    return cgroups.from_paths(document.cgroup_paths)


def init_of(document: StateDocument) -> Process:
    """The init process that the state file names; a dead one when pid and start time do not agree."""
    try:
        child = _core.Child.open(document.pid, document.start_time)
    except ProcessLookupError:
        child = None
    return Process(child, container_id=document.id, exec_id=document.id, pid=document.pid)


def spec_of(document: StateDocument) -> Spec:
    """The configuration in the bundle that the state file names.

    Raises:
        ConfigError: the bundle's file is gone or wrong.
    """
    return load_spec(document.bundle)


def hooks_of_spec(spec: Spec, kind: str) -> Sequence[Hook]:
    """The hooks of a kind as config.json names it."""
    hooks: Sequence[Hook] = getattr(spec.hooks, HOOK_FIELDS[kind])
    return hooks

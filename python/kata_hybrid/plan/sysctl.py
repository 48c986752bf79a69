"""``linux.sysctl`` to steps; only what belongs to a namespace of the container may be set.

Sources: namespaces(7), ipc_namespaces(7), proc_sys(5); runtime-spec, config-linux.md#sysctl.
"""

from __future__ import annotations

from ..errors import ConfigError
from ..oci.config import NamespaceType as Ns
from . import steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .namespaces import NamespaceSet
    from .steps import Step

IPC_NAMES = frozenset(
    "kernel/" + name
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)


def sysctl_steps(settings: Mapping[str, str], spaces: NamespaceSet) -> list[Step]:
    """One step for each setting.

    Raises:
        ConfigError: it would change the host, or its name is not a path of ``/proc/sys``.
    """
    result: list[Step] = []
    for key, value in settings.items():
        path = sysctl_path(key)
        problem = refusal(key, path, spaces)
        if problem:
            raise ConfigError(f"linux.sysctl.{key}", problem)
        result.append(steps.Sysctl(path, value))
    return result


def sysctl_path(key: str) -> str:
    """The path below ``/proc/sys``: the first separator decides which of ``.`` and ``/`` separates.

    ``net.ipv4.ip_forward`` is ``net/ipv4/ip_forward``; ``net/ipv4/conf/eth0.1/x`` stays.
    """
    dot, slash = key.find("."), key.find("/")
    if slash >= 0 and (dot < 0 or slash < dot):
        return key
    return key.translate({ord("."): "/", ord("/"): "."})


def refusal(key: str, path: str, spaces: NamespaceSet) -> str:
    """Why ``key`` may not be set in these namespaces, ``""`` when it may."""
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\0" in path:
        return f'invalid sysctl name "{key}"'
    if path in IPC_NAMES or path.startswith("fs/mqueue/"):
        return "" if spaces.has(Ns.IPC) else f'sysctl "{key}" is not allowed in the hosts ipc namespace'
    if parts[0] == "net":
        return "" if spaces.has(Ns.NETWORK) else f'sysctl "{key}" not allowed in host network namespace'
    if path == "kernel/domainname":
        return "" if spaces.has(Ns.UTS) else f'sysctl "{key}" is not allowed in the hosts uts namespace'
    if path == "kernel/hostname":
        return f'sysctl "{key}" is not allowed as it conflicts with the OCI "hostname" field'
    if parts[0] == "user":
        return "" if spaces.has(Ns.USER) else f"setting ucounts without a user namespace not allowed: {key}"
    return f'sysctl "{key}" is not in a separate kernel namespace'

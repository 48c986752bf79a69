"""The features document: what this runtime does, for engines that ask before they use it.

Source: runtime-spec, features.md and features-linux.md. It is kept true by reading the tables that the work
is done with.
"""

from __future__ import annotations

from typing import Any

from . import OCI_VERSION
from .config import NamespaceType
from .names import CAPABILITIES, HOOK_KINDS, SECCOMP_ACTIONS, SECCOMP_FLAGS, SECCOMP_OPERATORS

OCI_VERSION_MIN = "1.0.0"

SECCOMP_HOST_ARCHITECTURES = (
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
)
"""Architectures the filter compiler has system call tables for."""


def features_document(*, version: str = "", commit: str = "") -> dict[str, Any]:
    """The whole document, ready for ``json.dumps``.

    Args:
        version: of this package, for the annotations.
        commit: of its source, empty when unknown.
    """
    annotations = {"org.opencontainers.runc.checkpoint.enabled": "false"}
    if version:
        annotations["io.kata-hybrid.version"] = version
    if commit:
        annotations["io.kata-hybrid.commit"] = commit
    return {
        "ociVersionMin": OCI_VERSION_MIN,
        "ociVersionMax": OCI_VERSION,
        "hooks": list(HOOK_KINDS),
        "mountOptions": _mount_options(),
        "linux": _linux(),
        "annotations": annotations,
        "potentiallyUnsafeConfigAnnotations": ["bundle"],
    }


def _mount_options() -> list[str]:
    from ..plan.options import KNOWN  # the parser's own table; only this verb pays for its import

    return sorted(KNOWN)


def _linux() -> dict[str, Any]:
    return {
        "namespaces": sorted(kind.value for kind in NamespaceType),
        "capabilities": list(CAPABILITIES),
        "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": True},
        "seccomp": {
            "enabled": True,
            "actions": list(SECCOMP_ACTIONS),
            "operators": list(SECCOMP_OPERATORS),
            "archs": list(SECCOMP_HOST_ARCHITECTURES),
            "knownFlags": list(SECCOMP_FLAGS),
            "supportedFlags": list(SECCOMP_FLAGS),
        },
        "apparmor": {"enabled": False},
        "selinux": {"enabled": False},
        "intelRdt": {"enabled": False},
        "mountExtensions": {"idmap": {"enabled": False}},
        "netDevices": {"enabled": False},
    }

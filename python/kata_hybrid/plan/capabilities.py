"""Capability names to bit masks. Source: capabilities(7), <linux/capability.h>."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""

CAPABILITIES: dict[str, int] = {"CAP_" + name: number for number, name in enumerate(_NAMES.split())}


def capability_mask(names: Iterable[str], last_cap: int) -> int:
    """Bits of the names that exist up to ``last_cap``; others are left out, as giving less is safe."""
    mask = 0
    for name in names:
        number = CAPABILITIES.get(name.upper())
        if number is not None and number <= last_cap:
            mask |= 1 << number
    return mask


def unknown_capabilities(names: Iterable[str], last_cap: int) -> list[str]:
    """The names that ``capability_mask`` leaves out, sorted, for a warning."""
    return sorted({name for name in names if CAPABILITIES.get(name.upper(), last_cap + 1) > last_cap})

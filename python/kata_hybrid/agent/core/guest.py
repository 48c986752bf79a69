"""Operations on the guest itself: its details, clock, random pool, kernel modules and resolver."""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import time
from typing import TYPE_CHECKING, Final

from kata_hybrid import _core
from kata_hybrid.agent.core import mounts
from kata_hybrid.agent.core.errors import GuestError, InvalidRequest, RequestRefused
from kata_hybrid.agent.core.model import AgentDetails, GuestDetails
from kata_hybrid.agent.core.programs import run_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kata_hybrid.agent.core.model import DateTime, GuestDetailsRequest, KernelModule
    from kata_hybrid.agent.core.policy import VersionPolicy

log = logging.getLogger(__name__)

MEMORY_BLOCK_SIZE: Final = "/sys/devices/system/memory/block_size_bytes"
MEMORY_PROBE: Final = "/sys/devices/system/memory/probe"
ACPI_HOTPLUG: Final = "/sys/firmware/acpi/hotplug/memory/enabled"
SECCOMP_ACTIONS: Final = "/proc/sys/kernel/seccomp/actions_avail"
ONLINE_CPUS: Final = "/sys/devices/system/cpu/online"
RNDADDTOENTCNT: Final = 0x40045201
RNDRESEEDCRNG: Final = 0x5207
RESOLV_CONF: Final = "/etc/resolv.conf"
OWN_RESOLV_CONF: Final = "/run/kata-containers/sandbox/resolv.conf"


def agent_version() -> str:
    """The build's version."""
    return str(_core.build_info().get("version", "unknown"))


def guest_details(request: GuestDetailsRequest, policy: VersionPolicy) -> GuestDetails:
    """What the host asks before it makes containers.

    Raises:
        RequestRefused: the kernel's block size file is empty.
    """
    return GuestDetails(
        mem_block_size_bytes=_memory_block_size() if request.mem_block_size else 0,
        support_mem_hotplug_probe=request.mem_hotplug_probe and _has_memory_probe(),
        agent=AgentDetails(
            version=agent_version(),
            init_daemon=os.getpid() == 1,
            device_handlers=policy.device_handlers,
            storage_handlers=policy.storage_handlers,
            supports_seccomp=os.path.exists(SECCOMP_ACTIONS),
        ),
    )


def _memory_block_size() -> int:
    """Bytes; 0 when the kernel has no memory blocks."""
    text = _first_line(MEMORY_BLOCK_SIZE)
    if text is None:
        return 0
    if not text:
        raise RequestRefused(f"{MEMORY_BLOCK_SIZE} is empty")
    return int(text, 16)


def _has_memory_probe() -> bool:
    return os.path.exists(MEMORY_PROBE) and _first_line(ACPI_HOTPLUG) != "1"


def online_cpus() -> str:
    """The guest's online CPUs as a list such as ``0-3,8``; empty when the kernel does not tell."""
    return _first_line(ONLINE_CPUS) or ""


def parse_cpu_list(text: str) -> frozenset[int]:
    """``0-2,7`` as numbers.

    Raises:
        ValueError: not a list.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        if part.strip():
            first, _, last = part.strip().partition("-")
            numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def set_date_time(wanted: DateTime, *, allowed: bool) -> None:
    """Set the guest's clock.

    Args:
        allowed: this agent is the guest's init, or was told that it may.

    Raises:
        InvalidRequest: microseconds out of range.
        RequestRefused: not allowed.
        GuestError: the kernel refused.
    """
    if not 0 <= wanted.microseconds < 1_000_000:
        raise InvalidRequest(f"microseconds {wanted.microseconds} are out of range")
    if not allowed:
        reason = "this agent is not the guest's init and was started without --allow-set-time"
        raise RequestRefused(f"Could not set guest time: {reason}")
    try:
        time.clock_settime_ns(time.CLOCK_REALTIME, wanted.seconds * 10**9 + wanted.microseconds * 1000)
    except (OSError, OverflowError) as err:
        reason = (err.strerror or "").lower() if isinstance(err, OSError) else "value out of range"
        raise GuestError(f"Could not set guest time: {reason}") from err


def reseed_random(data: bytes) -> None:
    """Mix ``data`` into the random pool, credit it, and reseed. random(4).

    Raises:
        RequestRefused: no data, or the device took only a part.
    """
    if not data:
        raise RequestRefused("missing entropy data")
    fd = os.open("/dev/random", os.O_WRONLY | os.O_CLOEXEC)
    try:
        if os.write(fd, data) < len(data):
            raise RequestRefused("short write")
        for request, argument in ((RNDADDTOENTCNT, struct.pack("i", len(data))), (RNDRESEEDCRNG, b"")):
            try:
                fcntl.ioctl(fd, request, argument)
            except OSError as err:
                log.warning("random device refused request %#x: %s", request, err)
    finally:
        os.close(fd)


def load_modules(modules: Iterable[KernelModule]) -> None:
    """Load kernel modules in order.

    Raises:
        RequestRefused: a name is empty, or modprobe failed; its output is in the text.
    """
    for module in modules:
        if not module.name:
            raise RequestRefused("Kernel module name is empty")
        status, output = run_program(["/sbin/modprobe", "-v", module.name, *module.parameters])
        if status != 0:
            text = output.decode("utf-8", "replace")
            raise RequestRefused(f"could not load module: exit status {status}: {text}")


class Resolver:
    """The sandbox's ``/etc/resolv.conf``: ours is bound over the guest's."""

    def __init__(self) -> None:
        self._bound = False

    def set(self, lines: Sequence[str]) -> None:
        """Write and bind; nothing happens without lines or without a file to cover.

        Raises:
            GuestError: a step failed; nothing is bound.
        """
        if not lines:
            return
        if not os.path.exists(RESOLV_CONF):
            log.warning("%s does not exist, DNS settings are not applied", RESOLV_CONF)
            return
        try:
            os.makedirs(os.path.dirname(OWN_RESOLV_CONF), 0o700, exist_ok=True)
            with open(OWN_RESOLV_CONF, "wb") as file:
                file.write(os.fsencode("\n".join(line.strip() for line in lines)))
            os.chmod(OWN_RESOLV_CONF, 0o644)
            mounts.bind(OWN_RESOLV_CONF, RESOLV_CONF)
        except OSError as err:
            raise GuestError(f"could not set up DNS: {err}") from err
        self._bound = True

    def reset(self) -> None:
        """Give the guest its own file back. Idempotent.

        Raises:
            OSError: it could not be unmounted.
        """
        if self._bound:
            mounts.unmount(RESOLV_CONF, mounts.MNT_DETACH)
            os.unlink(OWN_RESOLV_CONF)
            self._bound = False


def _first_line(path: str) -> str | None:
    """Without blanks at its ends; None when there is no such file."""
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return None

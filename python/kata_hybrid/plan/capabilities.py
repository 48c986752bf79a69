"""Capability names to bit masks. Source: capabilities(7), <linux/capability.h>."""

from __future__ import annotations

from ..oci.names import CAPABILITIES as NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CAPABILITIES: dict[str, int] = {name: number for number, name in enumerate(NAMES)}


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

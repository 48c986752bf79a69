"""Rules of ``linux.namespaces`` and of what needs a namespace of its own."""

from __future__ import annotations

from itertools import pairwise

from ._rule import quoted
from .config import NamespaceType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._rule import Problem
    from .config import IDMapping, Linux, Spec

_CLOCKS = ("boottime", "monotonic")
_NAME_BYTES = 64  # __NEW_UTS_LEN
_ID_SPACE = 2**32


def namespace_problems(spec: Spec) -> Iterator[Problem]:
    """What is wrong with the namespaces and with what depends on them.

    An entry with a path counts as a namespace of its own. Whether the maps of a joined user namespace equal
    the given ones is not a question of the file alone and is asked when it is opened.
    """
    yield from _list_problems(spec.linux)
    paths = {entry.type: entry.path for entry in spec.linux.namespaces}
    yield from _name_problems(spec, has_uts=NamespaceType.UTS in paths)
    if (spec.linux.masked_paths or spec.linux.readonly_paths) and NamespaceType.MOUNT not in paths:
        where = "linux.maskedPaths" if spec.linux.masked_paths else "linux.readonlyPaths"
        yield where, "unable to restrict sys entries without a private MNT namespace"
    yield from _user_problems(spec.linux, paths)
    yield from _time_problems(spec.linux, paths)


def _list_problems(linux: Linux) -> Iterator[Problem]:
    seen: set[NamespaceType] = set()
    for index, entry in enumerate(linux.namespaces):
        at = f"linux.namespaces[{index}]"
        if entry.type in seen:
            yield f"{at}.type", f"malformed spec file: duplicated ns {quoted(entry.type.value)}"
        if entry.path is not None and not entry.path.startswith("/"):
            yield f"{at}.path", f"must be absolute, not {quoted(entry.path)}"
        if entry.path is not None and "\0" in entry.path:
            yield f"{at}.path", "contains nul byte (\\x00)"
        seen.add(entry.type)


def _name_problems(spec: Spec, *, has_uts: bool) -> Iterator[Problem]:
    for field, name in (("hostname", spec.hostname), ("domainname", spec.domainname)):
        if name and not has_uts:
            yield field, f"unable to set {field} without a private UTS namespace"
        if len(name.encode("utf-8", "surrogateescape")) > _NAME_BYTES:
            yield field, f"longer than {_NAME_BYTES} bytes"
        if "\0" in name:
            yield field, "contains nul byte (\\x00)"


def _user_problems(linux: Linux, paths: dict[NamespaceType, str | None]) -> Iterator[Problem]:
    mapped = bool(linux.uid_mappings or linux.gid_mappings)
    if NamespaceType.USER not in paths:
        if mapped:
            problem = "user namespace mappings specified, but user namespace isn't enabled in the config"
            yield "linux.uidMappings" if linux.uid_mappings else "linux.gidMappings", problem
        return
    if paths[NamespaceType.USER] is None and not (linux.uid_mappings and linux.gid_mappings):
        problem = "user namespaces enabled, but no namespace path to join nor mappings to apply specified"
        yield "linux.gidMappings" if linux.uid_mappings else "linux.uidMappings", problem
    yield from mapping_problems(linux.uid_mappings, "linux.uidMappings")
    yield from mapping_problems(linux.gid_mappings, "linux.gidMappings")


def mapping_problems(mappings: tuple[IDMapping, ...], at: str) -> Iterator[Problem]:
    """What is wrong with an id map: empty or overflowing ranges, overlaps inside or outside."""
    for index, mapping in enumerate(mappings):
        if mapping.size == 0:
            yield f"{at}[{index}].size", "must be greater than 0"
        if max(mapping.container_id, mapping.host_id) + mapping.size > _ID_SPACE:
            yield f"{at}[{index}].size", f"the range ends beyond {_ID_SPACE - 1}"
    for ranges in (
        sorted((mapping.container_id, mapping.size) for mapping in mappings),
        sorted((mapping.host_id, mapping.size) for mapping in mappings),
    ):
        for (start, size), (following, _) in pairwise(ranges):
            if start + size > following:
                yield at, f"ranges overlap at id {following}"


def _time_problems(linux: Linux, paths: dict[NamespaceType, str | None]) -> Iterator[Problem]:
    at = "linux.timeOffsets"
    if not linux.time_offsets:
        return
    if NamespaceType.TIME not in paths:
        yield at, "time namespace offsets specified, but time namespace isn't enabled in the config"
    elif paths[NamespaceType.TIME] is not None:
        problem = "time namespace enabled, but both namespace path and time offsets specified"
        yield at, f"{problem} -- you may only provide one"
    for clock, offset in linux.time_offsets.items():
        if clock not in _CLOCKS:
            yield at, f"clock {quoted(clock)} has no offset, allowed are {', '.join(_CLOCKS)}"
        if offset.nanosecs >= 10**9:
            yield f"{at}.{clock}.nanosecs", f"must be below 1000000000, not {offset.nanosecs}"

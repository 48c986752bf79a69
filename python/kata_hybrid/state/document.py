"""``state.json`` as a type: what a runtime must know of a container on disk, in libcontainer's form.

Only the fields that are needed are typed; the whole object is kept in ``raw`` and written back, so keys of
other and later runtimes survive a rewrite. Nothing read is trusted: a wrong type is one
:class:`~kata_hybrid.errors.StateError` that names the file.
"""

from __future__ import annotations

from .. import _json
from ..errors import StateError
from ..oci.config import Hook, Hooks, NamespaceType
from ._read import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import dataclass, field
    from typing import Any

    from ..oci.config import Resources
else:
    from kata_hybrid._record import dataclass, field

NAMESPACE_NAMES: dict[NamespaceType, str] = {
    NamespaceType.USER: "NEWUSER",
    NamespaceType.IPC: "NEWIPC",
    NamespaceType.UTS: "NEWUTS",
    NamespaceType.NETWORK: "NEWNET",
    NamespaceType.PID: "NEWPID",
    NamespaceType.MOUNT: "NEWNS",
    NamespaceType.CGROUP: "NEWCGROUP",
    NamespaceType.TIME: "NEWTIME",
}
"""Libcontainer's names, in the order the namespaces are joined."""

_TYPES = {name: kind for kind, name in NAMESPACE_NAMES.items()}
_BUNDLE_LABEL = "bundle"
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class StateDocument:
    """A container on disk.

    Attributes:
        pid: of init in the host's pid namespace; 0 when the file has none.
        start_time: field 22 of ``/proc/<pid>/stat``, clock ticks since boot; tells a reused pid.
        created: RFC 3339, UTC, nanoseconds.
        rootfs, bundle: absolute host paths; bundle is empty when the file has no label for it.
        annotations: the labels but the bundle's.
        cgroup_paths: controller (``""`` for the unified hierarchy) to absolute directory.
        namespaces: those the configuration asks for, with the path they were joined by or ``""``.
        hooks: with whole seconds, rounded up.
        raw: the whole object. Not to be changed.
    """

    id: str
    pid: int
    start_time: int
    created: str
    rootfs: str
    bundle: str
    oci_version: str
    annotations: Mapping[str, str]
    cgroup_paths: Mapping[str, str]
    namespaces: Mapping[NamespaceType, str]
    hooks: Hooks
    no_new_keyring: bool
    raw: Mapping[str, Any] = field(repr=False, default_factory=dict)
    path: str = field(repr=False, compare=False, default="state.json")

    def resources(self) -> Resources:
        """The limits that were last applied, without device rules.

        Raises:
            StateError: ``config.cgroups`` has wrong types.
        """
        from .limits import read_resources

        config = Reader(self.raw, path=self.path).object("config")
        return read_resources(config.object("cgroups"))

    def with_resources(self, changes: Resources) -> StateDocument:
        """A document whose ``config.cgroups`` has the given limits; what is absent keeps its value.

        Device rules are never changed: an update does not apply them.
        """
        from .limits import write_resources

        config = dict(self.raw.get("config") or {})
        config["cgroups"] = write_resources(dict(config.get("cgroups") or {}), changes)
        return parse_document({**self.raw, "config": config}, path=self.path)

    def to_bytes(self) -> bytes:
        """The file's content: one line of JSON, ASCII only."""
        return _json.dumps(self.raw).encode("ascii")


def parse_document(data: bytes | str | Mapping[str, Any], *, path: str) -> StateDocument:
    """A state file's content, of any runc from 1.0 on or of ours.

    Args:
        data: the text, or the object it holds.
        path: of the file, for errors.

    Raises:
        StateError: it is torn, no JSON, or a member has a wrong type.
    """
    raw = load_object(data, path=path)
    top = Reader(raw, path=path)
    config = top.object("config")
    bundle, annotations = _split_labels(config.texts("labels"))
    config.object("cgroups")
    return StateDocument(
        id=top.text("id"),
        pid=_pid(top, path),
        start_time=top.number("init_process_start"),
        created=top.text("created"),
        rootfs=config.text("rootfs"),
        bundle=bundle,
        oci_version=config.text("version"),
        annotations=annotations,
        cgroup_paths=top.text_map("cgroup_paths"),
        namespaces=_namespaces(config),
        hooks=_hooks(config),
        no_new_keyring=config.flag("no_new_keyring"),
        raw=raw,
        path=path,
    )


def load_object(data: bytes | str | Mapping[str, Any], *, path: str) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        StateError: it is torn, or no object.
    """
    if not isinstance(data, (bytes, str)):
        return dict(data)
    try:
        raw = _json.loads(data)
    except (ValueError, RecursionError) as err:
        raise StateError(f"not a whole JSON document ({str(err).partition(';')[0]})", path=path) from None
    if not isinstance(raw, dict):
        raise StateError("not a JSON object", path=path)
    return raw


def make_labels(annotations: Mapping[str, str], bundle: str) -> list[str]:
    """Annotations and the bundle as labels.

    An annotation that is itself called ``bundle`` is left out: runc would take it for the bundle.
    """
    kept = [f"{key}={value}" for key, value in annotations.items() if key != _BUNDLE_LABEL]
    return [*kept, f"{_BUNDLE_LABEL}={bundle}"]


def _split_labels(labels: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    bundle = ""
    annotations: dict[str, str] = {}
    for label in labels:
        key, equals, value = label.partition("=")
        if key == _BUNDLE_LABEL:
            bundle = value  # the last one is the runtime's own
        elif equals:
            annotations[key] = value
    return bundle, annotations


def _pid(top: Reader, path: str) -> int:
    pid = top.number("init_process_pid")
    if not 0 <= pid < 2**31:
        raise StateError(f"init_process_pid {pid} is not a pid", path=path)
    return pid


def _namespaces(config: Reader) -> dict[NamespaceType, str]:
    """Unknown kinds are left out: a runtime that does not know one cannot join it."""
    found: dict[NamespaceType, str] = {}
    for entry in config.objects("namespaces"):
        kind = _TYPES.get(entry.text("type"))
        if kind is not None:
            found[kind] = entry.text("path")
    return found


def _hooks(config: Reader) -> Hooks:
    kinds = config.object("Hooks")

    def of(kind: str) -> tuple[Hook, ...]:
        return tuple(_hook(entry) for entry in kinds.objects(kind))

    return Hooks(
        prestart=of("prestart"),
        create_runtime=of("createRuntime"),
        create_container=of("createContainer"),
        start_container=of("startContainer"),
        poststart=of("poststart"),
        poststop=of("poststop"),
    )


def _hook(entry: Reader) -> Hook:
    timeout = entry.number("timeout")
    env = entry.texts("env")
    return Hook(
        path=entry.text("path"),
        args=entry.texts("args"),
        env=env or None,
        timeout=-(-timeout // _NANOSECONDS) if timeout > 0 else None,
    )

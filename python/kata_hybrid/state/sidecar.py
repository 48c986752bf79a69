"""``kata-hybrid.json``: what we know of a container beside ``state.json``.

It is written before the cgroups are made, so that whoever comes after a ``kill -9`` in the middle of a
create knows what to remove; and it keeps what runc drops when it rewrites ``state.json``. Its absence is
never an error.
"""

from __future__ import annotations

from .. import _json
from ._read import Reader
from .document import load_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import dataclass, field
else:
    from kata_hybrid._record import dataclass, field

_FORMAT = 1


@dataclass(frozen=True)
class Sidecar:
    """Facts of one container.

    Attributes:
        bundle, rootfs: absolute host paths.
        cgroup_paths: controller to absolute directory, as in the state document.
        annotations: of the configuration, whatever their names.
        fifo: created in two steps, so an ``exec.fifo`` was made.
        created: RFC 3339, when the directory was reserved.
    """

    bundle: str = ""
    rootfs: str = ""
    oci_version: str = ""
    cgroup_paths: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    fifo: bool = False
    created: str = ""

    def to_bytes(self) -> bytes:
        """The file's content: one line of JSON, ASCII only."""
        members = {
            "format": _FORMAT,
            "bundle": self.bundle,
            "rootfs": self.rootfs,
            "ociVersion": self.oci_version,
            "cgroupPaths": dict(self.cgroup_paths),
            "annotations": dict(self.annotations),
            "fifo": self.fifo,
            "created": self.created,
        }
        return _json.dumps(members).encode("ascii")


def parse_sidecar(data: bytes, *, path: str) -> Sidecar:
    """A sidecar's content.

    Raises:
        StateError: it is torn or has wrong types.
    """
    top = Reader(load_object(data, path=path), path=path)
    return Sidecar(
        bundle=top.text("bundle"),
        rootfs=top.text("rootfs"),
        oci_version=top.text("ociVersion"),
        cgroup_paths=top.text_map("cgroupPaths"),
        annotations=top.text_map("annotations"),
        fifo=top.flag("fifo"),
        created=top.text("created"),
    )

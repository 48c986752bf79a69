"""What a container is doing, and how that is found out.

The order of the questions matters and is runc's: a frozen cgroup is *paused* even when the init process
is dead; an init process that is gone, a zombie or somebody else's pid is *stopped*; with the exec fifo
still there it is *created*; else it is *running*.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import dataclass, field
    from enum import Enum
else:
    from kata_hybrid._record import Enum, dataclass, field


class Status(Enum):
    """``status`` of the runtime-spec's state, with runc's ``paused``."""

    CREATING = "creating"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"

    def __str__(self) -> str:
        return self.value


def compute_status(*, frozen: bool, alive: bool, fifo: bool) -> Status:
    """The status from three facts; see the module's text for why in this order."""
    if frozen:
        return Status.PAUSED
    if not alive:
        return Status.STOPPED
    return Status.CREATED if fifo else Status.RUNNING


@dataclass(frozen=True)
class ContainerState:
    """What ``state`` and ``list`` tell about one container.

    Attributes:
        pid: of the init process in our pid namespace; 0 when stopped.
        created: RFC 3339, UTC.
    """

    oci_version: str
    id: str
    pid: int
    status: Status
    bundle: str
    rootfs: str
    created: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    def for_hooks(self) -> dict[str, object]:
        """The runtime-spec's state object, keys in its order; ``pid`` and ``annotations`` only when set."""
        state: dict[str, object] = {"ociVersion": self.oci_version, "id": self.id, "status": str(self.status)}
        if self.pid:
            state["pid"] = self.pid
        state["bundle"] = self.bundle
        if self.annotations:
            state["annotations"] = dict(self.annotations)
        return state

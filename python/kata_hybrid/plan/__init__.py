"""OCI configuration and host facts to a launch plan. Pure: only ``host_facts`` looks at the system."""

from __future__ import annotations

from .._light import attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .build import plan_create, plan_exec
    from .host import HostFacts, host_facts
    from .launch import CgroupJoin, CgroupMount, FdRequest, LaunchOptions, LaunchPlan

__all__ = [
    "CgroupJoin",
    "CgroupMount",
    "FdRequest",
    "HostFacts",
    "LaunchOptions",
    "LaunchPlan",
    "host_facts",
    "plan_create",
    "plan_exec",
]

__getattr__ = attributes(
    __name__,
    {
        "CgroupJoin": "launch",
        "CgroupMount": "launch",
        "FdRequest": "launch",
        "HostFacts": "host",
        "LaunchOptions": "launch",
        "LaunchPlan": "launch",
        "host_facts": "host",
        "plan_create": "build",
        "plan_exec": "build",
    },
)

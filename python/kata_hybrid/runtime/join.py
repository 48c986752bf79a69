"""What the plan needs to know about the cgroups that its process will be in."""

from __future__ import annotations

import os

from kata_hybrid.plan.launch import CgroupJoin, CgroupMount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from kata_hybrid.cgroups import Hierarchy, Layout, Manager

UNIFIED: Final = ""
NAMED: Final = "name="


def cgroup_join(layout: Layout, manager: Manager) -> CgroupJoin:
    """How a process gets into the groups of ``manager``, and what a ``cgroup`` mount shows there.

    Knows the paths only: the groups need not exist yet.
    """
    paths = manager.paths
    if layout.mode == "v2":
        return CgroupJoin(mode="v2", own_path=paths.get(UNIFIED, "/sys/fs/cgroup"))
    tasks = {path for key, path in paths.items() if key != UNIFIED}
    mounts = [
        _mount(hierarchy, paths[hierarchy.controllers[0]])
        for hierarchy in layout.hierarchies
        if hierarchy.controllers != (UNIFIED,) and hierarchy.controllers[0] in paths
    ]
    return CgroupJoin(tasks=len(tasks), mode="v1", mounts=tuple(mounts))


def process_join(layout: Layout, manager: Manager) -> CgroupJoin:
    """As :func:`cgroup_join` for one more process of the container, which mounts nothing."""
    if layout.mode == "v2":
        return cgroup_join(layout, manager)
    return CgroupJoin(tasks=len({path for key, path in manager.paths.items() if key != UNIFIED}), mode="v1")


def _mount(hierarchy: Hierarchy, source: str) -> CgroupMount:
    """Joined controllers also get a link each, as on the host."""
    controllers = hierarchy.controllers
    name = os.path.basename(hierarchy.mount_point)
    data = ",".join(f"none,{each}" if each.startswith(NAMED) else each for each in controllers)
    links = tuple(each for each in controllers if each != name and not each.startswith(NAMED))
    return CgroupMount(name=name, data=data, source=source, links=links)

"""Run by test_v2_view.py where /sys/fs/cgroup is a cgroup2 mount: one container's life, told as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from kata_hybrid import Runtime, Stdio
from kata_hybrid.oci import default_spec
from kata_hybrid.oci.config import Device, DeviceCgroup, Resources, Root

KMSG = (1, 11)


def main(rootfs: str, state: str, container_id: str) -> None:
    spec = default_spec()
    assert spec.process is not None
    allowed = Device("/dev/allowed", "c", 1, 5)
    denied = Device("/dev/denied", "c", *KMSG)
    rules = (DeviceCgroup(allow=False), DeviceCgroup(allow=True, type="c", major=1, minor=5))
    linux = replace(spec.linux, devices=(allowed, denied), resources=Resources(devices=rules))
    process = replace(spec.process, args=("sleep", "1000"))
    runtime = Runtime(state)
    container = runtime.run(
        container_id, spec=replace(spec, root=Root(rootfs), process=process, linux=linux), stdio=Stdio.null()
    )
    group = Path("/sys/fs/cgroup") / container_id
    facts: dict[str, object] = {"group": Path(f"/proc/{container.init.pid}/cgroup").read_text().split()[-1]}
    container.pause()
    facts["frozen"] = (group / "cgroup.freeze").read_text().strip(), container.status.value
    container.resume()
    for name in ("allowed", "denied"):
        words = ["dd", f"if=/dev/{name}", "of=/dev/null", "bs=1", "count=1"]
        facts[name] = container.exec(words, stdio=Stdio.null()).wait(10).status
    child = container.exec(["sleep", "1000"], stdio=Stdio.null())
    facts["exec group"] = Path(f"/proc/{child.pid}/cgroup").read_text().split()[-1]
    container.kill("KILL", all=True)
    facts["killed"] = container.wait(10).signal
    container.delete()
    facts["left"] = group.exists()
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])

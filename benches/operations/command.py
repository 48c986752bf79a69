"""Our command as whole processes, beside runc, crun and youki. Byte code is compiled by the warm-up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benches.model import Contender, Operation
from benches.operations import lifecycle

if TYPE_CHECKING:
    from benches.operations.setting import Setting
    from benches.peers import RuntimeCommand


def operations(setting: Setting) -> list[Operation]:
    place = setting.place
    runtimes = [setting.command, *setting.commands]
    make = partial(lifecycle.operation, setting)
    found: list[Operation] = []
    if place.wants("command-run"):
        title = "command: run of true"
        found.append(make("command-run", title, runtimes, lifecycle.run_contender, parallel=True))
    if place.wants("command-run-plain"):
        title = "command: run of true without a filter"
        found.append(make("command-run-plain", title, runtimes, lifecycle.run_plain_contender, idle=False))
    if place.wants("command-exec"):
        title = "command: exec of true"
        found.append(make("command-exec", title, runtimes, lifecycle.exec_contender, residents_each=1))
    for name, build in (("state", lifecycle.state_contender), ("list", lifecycle.list_contender)):
        if place.wants(f"command-{name}"):
            title = f"command: {name}"
            found.append(make(f"command-{name}", title, runtimes, build, residents_each=1, idle=False))
    if place.wants("command-delete"):
        title = "command: delete of an ended container"
        found.append(make("command-delete", title, runtimes, lifecycle.delete_contender, idle=False))
    if place.wants("command-version"):
        contenders = [_version(runtime) for runtime in runtimes]
        found.append(Operation("command-version", "command: --version", contenders, idle=False))
    return found


def _version(runtime: RuntimeCommand) -> Contender:
    return Contender(runtime.name, lambda _: runtime.bare("--version"), runtime.bare.usage)

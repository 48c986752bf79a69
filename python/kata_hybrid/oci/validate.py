"""Rules between the fields of a configuration: what decodes but cannot be meant, or must not be run.

Pure: what only the host can answer (does the rootfs exist, is the cgroup empty, is AppArmor there) is asked
by who needs it. Where runc has a text for the problem it is used, since engines and people search for it.

Each rule set is a generator of (location, problem); the first one is raised.
Sources: runtime-spec, config.md and config-linux.md; runc's validator for the texts.
"""

from __future__ import annotations

from ..errors import ConfigError
from . import _rules_linux, _rules_mounts, _rules_namespaces, _rules_process, _rules_resources, _rules_seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator

    from ._rule import Problem
    from .config import Hook, Process, Resources, Spec
else:
    from _collections import deque  # collections itself takes a millisecond

_found_right: deque[Spec] = deque(maxlen=8)


def validate_spec(spec: Spec, *, container_id: str | None = None) -> None:
    """Check a whole configuration. An absent ``process`` is allowed, as the spec does.

    One that was right a moment ago is not checked again: it is immutable.

    Raises:
        ConfigError: the first rule that is broken.
    """
    if any(spec is known for known in tuple(_found_right)):
        return
    _raise_first(_spec_problems(spec), container_id)
    _found_right.append(spec)


def validate_process(process: Process, *, at: str = "process") -> None:
    """Check a process on its own, as exec needs it. ``at`` is its JSON path.

    Raises:
        ConfigError: the first rule that is broken.
    """
    _raise_first(_rules_process.process_problems(process, at), None)


def validate_resources(resources: Resources, *, at: str = "linux.resources") -> None:
    """Check resource limits on their own, as update needs it. ``at`` is their JSON path.

    Raises:
        ConfigError: the first rule that is broken.
    """
    _raise_first(_rules_resources.resources_problems(resources, at), None)


def _raise_first(problems: Iterator[Problem], container_id: str | None) -> None:
    for location, problem in problems:
        raise ConfigError(location, problem, container_id=container_id)


def _spec_problems(spec: Spec) -> Iterator[Problem]:
    yield from _root_problems(spec)
    if spec.process is not None:
        yield from _rules_process.process_problems(spec.process, "process")
    yield from _rules_namespaces.namespace_problems(spec)
    yield from _rules_mounts.mount_problems(spec)
    yield from _hook_problems(spec)
    yield from _rules_linux.linux_problems(spec)
    if spec.linux.resources is not None:
        yield from _rules_resources.resources_problems(spec.linux.resources, "linux.resources")
    if spec.linux.seccomp is not None:
        yield from _rules_seccomp.seccomp_problems(spec.linux.seccomp)


def _root_problems(spec: Spec) -> Iterator[Problem]:
    if spec.root is None:
        yield "root", "root must be specified"
    elif not spec.root.path:
        yield "root.path", "must not be empty"
    elif "\0" in spec.root.path:
        yield "root.path", "contains nul byte (\\x00)"
    for key, value in spec.annotations.items():
        if not key:
            yield "annotations", "annotation key must not be empty"
        if "\0" in key or "\0" in value:
            yield "annotations", "contains nul byte (\\x00)"


def _hook_problems(spec: Spec) -> Iterator[Problem]:
    hooks = spec.hooks
    for kind, entries in (
        ("prestart", hooks.prestart),
        ("createRuntime", hooks.create_runtime),
        ("createContainer", hooks.create_container),
        ("startContainer", hooks.start_container),
        ("poststart", hooks.poststart),
        ("poststop", hooks.poststop),
    ):
        for index, hook in enumerate(entries):
            yield from _one_hook(hook, f"hooks.{kind}[{index}]")


def _one_hook(hook: Hook, at: str) -> Iterator[Problem]:
    if not hook.path.startswith("/"):
        yield f"{at}.path", "hook path must be absolute"
    if hook.timeout is not None and hook.timeout <= 0:
        yield f"{at}.timeout", "must be greater than 0 seconds"
    if any("\0" in text for text in (hook.path, *hook.args, *(hook.env or ()))):
        yield at, "contains nul byte (\\x00)"

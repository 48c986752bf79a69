"""Hooks that run inside the container's namespaces, as steps.

Source: runtime-spec, config.md#posix-platform-hooks.
"""

from __future__ import annotations

from .. import _json
from . import steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..oci.config import Hook, Spec
    from .launch import LaunchOptions
    from .steps import Step


def hook_steps(kind: str, hooks: Iterable[Hook], state: bytes) -> list[Step]:
    """One step for each hook; a timeout of the spec is in seconds."""
    return [
        steps.Hook(
            kind=kind,
            index=index,
            path=hook.path,
            args=hook.args or (hook.path,),
            env=hook.env or (),
            timeout_ms=(hook.timeout or 0) * 1000,
            state=state,
        )
        for index, hook in enumerate(hooks)
    ]


def state_json(spec: Spec, options: LaunchOptions, *, status: str, pid: int) -> bytes:
    """The state that a hook reads on its stdin.

    Args:
        spec: version and annotations.
        options: id and bundle.
        status: ``creating`` or ``created``.
        pid: as seen in the container's own pid namespace: the plan is made before any process exists. 0 where
            only init can know it: it puts its own number there.
    """
    state: dict[str, object] = {
        "ociVersion": spec.oci_version,
        "id": options.container_id,
        "status": status,
        "pid": pid,
        "bundle": options.bundle,
    }
    if spec.annotations:
        state["annotations"] = dict(spec.annotations)
    return _json.dumps(state).encode()

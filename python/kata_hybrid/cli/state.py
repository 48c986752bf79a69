"""``state``: the state of a container as JSON."""

from __future__ import annotations

from .. import _json
from .context import write_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..runtime import ContainerState
    from .context import Context
    from .options import Option, Parsed

WORDS = "<container-id>"
OPTIONS: tuple[Option, ...] = ()
ARITY = (1, 1)


def run(context: Context, given: Parsed) -> int:
    """Print the object, indented by two, without a line end."""
    state = context.runtime().load(given.words[0]).state()
    write_out(_json.dumps(state_object(state), indent=2, ensure_ascii=False))
    return 0


def state_object(state: ContainerState, owner: str = "") -> dict[str, object]:
    """The keys in the order that runc writes them; no ``annotations`` when there are none."""
    result: dict[str, object] = {
        "ociVersion": state.oci_version,
        "id": state.id,
        "pid": state.pid,
        "status": str(state.status),
        "bundle": state.bundle,
        "rootfs": state.rootfs,
        "created": state.created,
    }
    if state.annotations:
        result["annotations"] = dict(state.annotations)
    result["owner"] = owner
    return result

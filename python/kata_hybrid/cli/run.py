"""``run``: create and start a container, and stay with it unless detached."""

from __future__ import annotations

from ..errors import HookError, KataHybridError
from .create import make
from .launching import CREATE_OPTIONS, load_bundle
from .options import FLAG, Option
from .texts import CommandError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.config import Spec
    from ..runtime import Container
    from .context import Context
    from .options import Parsed

WORDS = "<container-id>"
OPTIONS: tuple[Option, ...] = (
    *CREATE_OPTIONS,
    Option(("detach", "d"), FLAG, "leave the container running"),
    Option(("keep",), FLAG, "do not delete it when it has ended"),
    Option(("no-subreaper",), FLAG, "do not adopt the container's orphans"),
)
ARITY = (1, 1)


def run(context: Context, given: Parsed) -> int:
    """Exit status: the program's, 128 plus the signal that ended it, or 0 when detached."""
    try:
        bundle, spec = load_bundle(given)
        if given.flag("detach"):
            make(context, given, bundle, spec, verb="run", detach=True)
            return 0
        return _foreground(context, given, bundle, spec)
    except CommandError as err:
        raise CommandError(f"runc run failed: {err}", err.status) from err
    except KataHybridError as err:
        raise CommandError(f"runc run failed: {describe(err)}") from err


def _foreground(context: Context, given: Parsed, bundle: str, spec: Spec) -> int:
    from .foreground import Foreground

    with Foreground() as foreground:
        container = make(context, given, bundle, spec, verb="run", detach=False)
        try:
            return foreground.attend(container.init).status
        finally:
            if not given.flag("keep"):
                _delete(context, container)


def _delete(context: Context, container: Container) -> None:
    """A poststop hook that fails is told, but the exit status stays the program's."""
    try:
        container.delete(force=True)
    except HookError as err:
        context.journal.warning(describe(err))

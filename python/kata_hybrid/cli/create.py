"""``create``: make a container whose program waits for ``start``."""

from __future__ import annotations

import os

from ..errors import KataHybridError
from .launching import (
    CREATE_OPTIONS,
    absolute,
    check_terminal,
    listen_fds,
    load_bundle,
    preserved,
    send_pidfd,
    with_listen_fds,
)
from .texts import CommandError, describe, start_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import replace

    from ..oci.config import Spec
    from ..runtime import Container
    from .context import Context
    from .options import Option, Parsed
else:
    from kata_hybrid._record import replace

WORDS = "<container-id>"
OPTIONS: tuple[Option, ...] = CREATE_OPTIONS
ARITY = (1, 1)


def run(context: Context, given: Parsed) -> int:
    """Create and leave: the program's stdio is the caller's, its parent will be whoever adopts orphans."""
    try:
        bundle, spec = load_bundle(given)
        make(context, given, bundle, spec, verb="create", detach=True)
    except CommandError as err:
        raise CommandError(f"runc create failed: {err}") from err
    except KataHybridError as err:
        raise CommandError(f"runc create failed: {describe(err)}") from err
    return 0


def make(context: Context, given: Parsed, bundle: str, spec: Spec, *, verb: str, detach: bool) -> Container:
    """Create (or with ``verb`` run) the container of the first word.

    Raises:
        CommandError: in the engines' words, without the verb in front.
    """
    terminal = spec.process is not None and spec.process.terminal
    check_terminal(given, terminal=terminal, detach=detach)
    sockets = listen_fds(os.environ, os.getpid())
    keep = preserved(given, sockets)
    changed: Spec | None = None  # without one the bundle's file stays the only copy of the configuration
    if spec.process is not None and sockets:
        changed = replace(spec, process=with_listen_fds(spec.process, sockets))
    runtime = context.runtime()
    start = runtime.run if verb == "run" else runtime.create
    try:
        container = start(
            given.words[0],
            bundle=bundle,
            spec=changed,
            console_socket=absolute(given.value("console-socket")),
            pid_file=absolute(given.value("pid-file")),
            no_pivot=given.flag("no-pivot"),
            no_new_keyring=given.flag("no-new-keyring"),
            preserve_fds=keep,
        )
    except KataHybridError as err:
        program = spec.process.args[0] if spec.process is not None and spec.process.args else ""
        raise CommandError(start_failure(err, program=program, init=True)) from err
    send_pidfd(absolute(given.value("pidfd-socket")), container.init, b"standard")
    return container

"""Global options and the way to the verb. Imports nothing that the verb does not need.

Sources: runc(8), the runtime command line of the runtime-spec's engines (behaviour).
"""

from __future__ import annotations

import gc
import os
import sys

from .context import Context, OutputError, hold_standard_descriptors, write_out
from .log import FORMATS, Log
from .options import FLAG, Option, Parsed, UsageError, boolean, check_arity, parse, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any, NoReturn

PROGRAM = "kata-hybrid"
DEFAULT_ROOT = "/run/kata-hybrid"
UNKNOWN_VERB_STATUS = 3

VERBS: dict[str, str] = {
    "create": "create a container that waits for start",
    "delete": "delete a container and all that belongs to it",
    "events": "show the container's counters and out-of-memory events",
    "exec": "run another process in a running container",
    "features": "show what this runtime and host can do",
    "kill": "send a signal to the container's init process",
    "list": "list the containers below the root directory",
    "pause": "freeze all processes of a container",
    "ps": "show the processes of a container",
    "resume": "thaw all processes of a container",
    "run": "create and start a container",
    "spec": "write a configuration to start from",
    "start": "run the program of a created container",
    "state": "show the state of a container",
    "update": "change the limits of a container",
}
FOREIGN: dict[str, tuple[str, str]] = {
    "agent": ("kata_hybrid.agent.main", "run the Kata guest agent"),
    "demo": ("kata_hybrid.demo", "show what the library can do"),
}
SYSTEMD_VERBS = frozenset({"create", "run"})
_HELP = frozenset({"--help", "-help", "--h", "-h"})

GLOBAL_OPTIONS: tuple[Option, ...] = (
    Option(("root",), help=f"where the states of containers are kept (default: {DEFAULT_ROOT})"),
    Option(("log",), help="append log records to this file instead of stderr"),
    Option(("log-format",), help="text or json (default: text)"),
    Option(("debug",), FLAG, "write debug records too"),
    Option(("systemd-cgroup",), FLAG, "not supported: cgroups are made directly"),
    Option(("rootless",), help="true, false or auto (default: auto)"),
    Option(("criu",), help="ignored"),
    Option(("version", "v"), FLAG, "print the version"),
)


def command() -> NoReturn:
    """The whole process: :func:`main`, and out without taking the interpreter apart.

    What lives as long as a verb needs no collector, and what the kernel frees anyway no destructors, which
    take two milliseconds. A verb that turns the collector on again ends the usual way.
    """
    gc.disable()
    hold_standard_descriptors()
    status = main()
    if gc.isenabled():
        sys.exit(status)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit status.

    Args:
        argv: without the program's name; None takes ``sys.argv``.
    """
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except OutputError as err:  # of help and the like; a verb's goes to its log
        Log().error(str(err))
        return 1


def _main(args: list[str]) -> int:
    try:
        given = parse(args, GLOBAL_OPTIONS, stop_at_word=True)
    except UsageError as err:
        write_out(f"Incorrect Usage: {err}\n\n{overview()}\n")
        Log().error(str(err))
        return 1
    if given.flag("version"):
        write_out(version_text())
        return 0
    if given.flag("help") or not given.words:
        write_out(overview() + "\n")
        return 0
    return _with_log(given)


def _with_log(given: Parsed) -> int:
    form = given.value("log-format") or "text"
    try:
        journal = Log(
            given.value("log") or "", form if form in FORMATS else "text", debug=given.flag("debug")
        )
    except OSError as err:
        Log().error(f"open {err.filename}: {(err.strerror or '').lower()}")
        return 1
    verb, rest = given.words[0], given.words[1:]
    try:
        if form not in FORMATS:
            raise UsageError(f"invalid log-format: {form}")
        check_rootless(given.value("rootless"))
        root = state_root(given.value("root"))
    except UsageError as err:
        journal.error(str(err))
        return 1
    if verb in FOREIGN:
        return _foreign(verb, rest)
    if verb in {"help", "h"}:
        write_out(overview() + "\n")
        return 0
    if verb not in VERBS:
        journal.error(f"No help topic for '{verb}'")
        return UNKNOWN_VERB_STATUS
    context = Context(root, journal, PROGRAM, systemd_cgroup=given.flag("systemd-cgroup"))
    return _run_verb(context, verb, rest)


def _module(name: str) -> Any:
    return __import__(name, fromlist=("",))


def _foreign(verb: str, rest: list[str]) -> int:
    gc.enable()  # it lives long, and may have threads and things to do at its end
    return int(_module(FOREIGN[verb][0]).main(rest))


def _run_verb(context: Context, verb: str, rest: list[str]) -> int:
    if not _HELP.intersection(rest):
        _load_at_once(verb)
    module = _module(f"{__package__}.{verb}")
    failed = getattr(module, "FAILED_STATUS", 1)
    try:
        given = parse(rest, module.OPTIONS, stop_at_word=getattr(module, "STOP_AT_WORD", False))
    except UsageError as err:
        write_out(f"Incorrect Usage: {err}\n\n{verb_usage(verb, module)}\n")
        context.journal.error(str(err))
        return 1
    if given.flag("help"):
        write_out(verb_usage(verb, module) + "\n")
        return 0
    try:
        check_arity(verb, given.words, *module.ARITY)
    except UsageError as err:
        write_out(f"Incorrect Usage.\n\n{verb_usage(verb, module)}\n")
        context.journal.error(f"{PROGRAM}: {err}")
        return 1
    return _guarded(context, verb, module, given, failed)


def _load_at_once(verb: str) -> None:
    from .._preload import preload
    from ._order import ORDER

    preload(f"kata_hybrid.{name}" for name in ORDER.get(verb, "").split())


def _guarded(context: Context, verb: str, module: ModuleType, given: Parsed, failed: int) -> int:
    """Run the verb; an error that has a place in our tree becomes one sentence and the exit status."""
    from ..errors import KataHybridError
    from .texts import CommandError, describe

    try:
        if verb in SYSTEMD_VERBS and context.systemd_cgroup:
            raise CommandError("systemd cgroups are not supported: leave --systemd-cgroup away")
        return int(module.run(context, given))
    except CommandError as err:
        context.journal.error(str(err))
        return err.status
    except OutputError as err:
        context.journal.error(str(err))
        return failed
    except (KataHybridError, OSError, UsageError) as err:
        context.journal.error(describe(err))
        return failed
    except KeyboardInterrupt:
        return 130


def state_root(given: str | None) -> str:
    """The absolute root directory; a rootless caller's default is below XDG_RUNTIME_DIR.

    Raises:
        UsageError: it is ``/``.
    """
    if given is None:
        runtime_dir = os.environ.get("XDG_RUNTIME_DIR")
        if os.geteuid() != 0 and runtime_dir:
            return os.path.join(runtime_dir, "kata-hybrid")
        return DEFAULT_ROOT
    root = os.path.abspath(given)
    if root.strip("/") == "":
        raise UsageError("Option --root argument should not be set to /")
    return root


def check_rootless(given: str | None) -> None:
    """Raise for a value of ``--rootless`` that is neither ``auto`` nor a boolean.

    Raises:
        UsageError: that.
    """
    if given is not None and given.lower() != "auto":
        boolean(given, "rootless")


def version_text() -> str:
    """Name, version and the newest runtime-spec that is understood; engines read it by line."""
    from ..oci import OCI_VERSION

    return f"{PROGRAM} version {package_version()}\nspec: {OCI_VERSION}\n"


def package_version() -> str:
    """The version of this package. (Asking the installed metadata takes sixty milliseconds.)"""
    from .. import __version__

    return __version__


def verb_usage(verb: str, module: ModuleType) -> str:
    """Help of one verb."""
    return usage(PROGRAM, verb, module.WORDS, module.OPTIONS)


def overview() -> str:
    """Help of the command."""
    known = {**VERBS, **{verb: text for verb, (_, text) in FOREIGN.items()}}
    verbs = "\n".join(f"   {name:<10} {text}" for name, text in sorted(known.items()))
    table = usage(PROGRAM, "[global options]", "verb [arguments]", GLOBAL_OPTIONS).replace(" [options]", "")
    return f"{table}\n\nVERBS:\n{verbs}"


if __name__ == "__main__":
    command()

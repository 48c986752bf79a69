"""What a command imports, verb by verb. Its time is mostly imports, and one line at the top of a module can
cost more than the verb does: seen here by name, since a limit in milliseconds would be flaky.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import kata_hybrid
import pytest
from kata_hybrid.cli._order import ORDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command

SLOW = {
    "argparse",
    "collections",
    "contextlib",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "importlib.metadata",
    "inspect",
    "json",
    "logging",
    "pathlib",
    "re",
    "select",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "typing",
}
"""Of the standard library, each half a millisecond to twenty."""

RARE = {
    *(f"kata_hybrid.{name}" for name in ("cgroups.stats", "cgroups.oom", "cli.terminal")),
    *(f"kata_hybrid.runtime.{name}" for name in ("aio", "console", "hooks", "idmap", "pidfile", "streams")),
}
LAUNCHING = {
    *(f"kata_hybrid.oci.{name}" for name in ("_decode", "load", "validate")),
    *(f"kata_hybrid.plan.{name}" for name in ("build", "encode", "steps")),
    *(f"kata_hybrid.runtime.{name}" for name in ("create", "execute", "launch")),
}

OF_ONE_CGROUP_VERSION = {f"kata_hybrid.cgroups.{name}" for name in ("files", "freeze", "tree", "v1")}

# The interpreter as bare as it gets, so that what a site file imports is not held against the verb.
TELL = """
import sys
package, told, in_advance = sys.argv[1:4]
del sys.argv[1:4]
sys.path.insert(0, package)
if not in_advance:
    from kata_hybrid.cli import _order
    _order.ORDER.clear()
from kata_hybrid.cli.main import main
status = main()
with open(told, "w") as file:
    file.write("\\n".join(sorted(sys.modules)))
sys.exit(status)
"""


class Telling:
    """The command, whose calls give the names of the modules that it had at its end."""

    def __init__(self, command: Command, told: Path) -> None:
        self._command = command
        self._told = told
        self.in_advance(True)

    def in_advance(self, wanted: bool) -> None:
        """Whether modules may be loaded before they are asked for."""
        package = Path(kata_hybrid.__file__).parent.parent
        words = (str(package), str(self._told), "yes" if wanted else "")
        program = (sys.executable, "-I", "-S", "-c", TELL, *words)
        self._command.argv = (*program, "--root", str(self._command.root))

    def __call__(self, *words: object) -> set[str]:
        self._command(*words)
        return set(self._told.read_text().split("\n"))


@pytest.fixture
def telling(command: Command, tmp_path: Path) -> Telling:
    return Telling(command, tmp_path / "modules")


def test_verbs_that_look_at_a_container_load_neither_planner_nor_decoder(
    telling: Telling, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    unwanted = SLOW | RARE | LAUNCHING
    telling("create", "--bundle", make_bundle(["sleep", "1000"]), container_id)
    assert telling("state", container_id) & (unwanted | {"fcntl"}) == set()
    assert telling("list") & (unwanted | {"fcntl"}) == set()
    assert telling("kill", container_id, "KILL") & unwanted == set()
    assert telling("delete", "--force", container_id) & unwanted == set()


def test_a_launch_loads_what_it_needs(
    telling: Telling, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    unwanted = SLOW | RARE
    assert telling("run", "--bundle", make_bundle(["true"]), f"{container_id}-run") & unwanted == set()
    assert telling("create", "--bundle", make_bundle(["sleep", "1000"]), container_id) & unwanted == set()
    assert telling("start", container_id) & (unwanted | LAUNCHING) <= {"select"}  # polls the exec fifo
    assert telling("exec", container_id, "true") & unwanted == set()


def test_the_version_loads_next_to_nothing(telling: Telling) -> None:
    loaded = telling("--version")
    assert loaded & (SLOW | {"kata_hybrid._core", "kata_hybrid.runtime", "kata_hybrid.oci.config"}) == set()


ORDERED = """
import sys
sys.path.insert(0, sys.argv[1])
import kata_hybrid.cli.main
from kata_hybrid import _preload
from kata_hybrid.cli import _order
real = _preload._load
def ours():
    return {name for name in sys.modules if name.startswith("kata_hybrid.") and name != "kata_hybrid._core"}
def load(name, *args, **kwargs):
    before = ours()
    done = real(name, *args, **kwargs)
    assert ours() - before == {name}, f"{name} imports {ours() - before - {name}}: order them before it"
    return done
_preload._load = load
_preload.preload(f"kata_hybrid.{name}" for name in _order.ORDER[sys.argv[2]].split())
"""


@pytest.mark.parametrize("verb", sorted(ORDER))
def test_modules_are_ordered_so_that_each_finds_what_it_imports(verb: str) -> None:
    package = Path(kata_hybrid.__file__).parent.parent
    words = [sys.executable, "-I", "-S", "-c", ORDERED, str(package), verb]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_loaded_in_advance_that_the_verb_does_not_need(
    telling: Telling, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    def superfluous(verb: str, *words: object) -> set[str]:
        ordered = {f"kata_hybrid.{name.removesuffix('.')}" for name in ORDER[verb].split()}
        return ordered - OF_ONE_CGROUP_VERSION - telling(verb, *words)

    telling.in_advance(False)
    assert superfluous("run", "--bundle", make_bundle(["true"]), f"{container_id}-run") == set()
    assert superfluous("create", "--bundle", make_bundle(["sleep", "1000"]), container_id) == set()
    assert superfluous("start", container_id) == set()
    assert superfluous("exec", container_id, "true") == set()
    assert superfluous("state", container_id) == set()
    assert superfluous("list") == set()
    assert superfluous("kill", container_id, "KILL") == set()
    assert superfluous("delete", "--force", container_id) == set()

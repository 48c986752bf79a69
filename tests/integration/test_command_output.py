"""Where the command's own output cannot go: one line on stderr and a status that tells, as runc has it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command

COMMAND = f"{sys.executable} -m kata_hybrid"


def shell(script: str) -> tuple[int, str]:
    done = subprocess.run(["sh", "-c", script], check=False, stderr=subprocess.PIPE, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "words", ["--version", "--help", "help", "list --help", "list", "features", "list --bad"]
)
@pytest.mark.parametrize(
    ("where", "reason"), [(">/dev/full", "no space left on device"), (">&-", "bad file descriptor")]
)
def test_stdout_that_takes_nothing(tmp_path: Path, words: str, where: str, reason: str) -> None:
    status, err = shell(f"{COMMAND} --root {tmp_path}/state {words} {where}")
    assert status == 1
    assert err.count("\n") == 1
    assert f'level=error msg="write /dev/stdout: {reason}"' in err


@pytest.mark.parametrize("closed", [">&- 2>&-", ">/dev/full 2>/dev/full", "<&- >&- 2>&-"])
def test_with_stderr_gone_too_the_status_tells(closed: str) -> None:
    assert shell(f"{COMMAND} --version {closed}") == (1, "")


def test_an_unknown_container_with_stderr_closed_is_an_error(tmp_path: Path) -> None:
    assert shell(f"{COMMAND} --root {tmp_path} state none 2>&-") == (1, "")


def test_a_log_that_takes_nothing_does_not_hide_the_error(tmp_path: Path) -> None:
    status, err = shell(f"{COMMAND} --log /dev/full --root {tmp_path} state none")
    assert status == 1
    assert err.endswith("container does not exist\n")
    assert "Traceback" not in err


def test_no_file_of_ours_becomes_a_stream_of_the_container(
    command: Command, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    script = 'for n in 0 1 2; do seen="$seen $(readlink "/proc/$$/fd/$n")"; done; echo $seen >/seen/streams'
    bundle = make_bundle(["sh", "-c", script])
    seen = bundle / "seen"
    seen.mkdir()
    config = json.loads((bundle / "config.json").read_text())
    config["mounts"].append({"destination": "/seen", "source": str(seen), "options": ["bind"]})
    (bundle / "config.json").write_text(json.dumps(config))
    argv = " ".join(command.argv)
    assert shell(f"{argv} run --bundle {bundle} {container_id} <&- >&- 2>&-") == (0, "")
    assert (seen / "streams").read_text().split() == ["/dev/null"] * 3

"""Sentences that engines match on."""

from __future__ import annotations

import errno

import pytest
from kata_hybrid import errors
from kata_hybrid.cli.texts import describe, start_failure


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.ContainerNotFound("x", container_id="c"), "container does not exist"),
        (errors.ContainerExists("x", container_id="c"), "container with given ID already exists"),
        (
            errors.ContainerNotRunning(
                "container not running", status="stopped", verb="kill", container_id="c"
            ),
            "container not running",
        ),
        (errors.ConfigError("process.args", "args must not be empty"), "args must not be empty"),
        (errors.HookError("poststart", 2, "exit status 1"), "error running poststart hook #2: exit status 1"),
        (FileNotFoundError(errno.ENOENT, "x", "/y"), "open /y: no such file or directory"),
    ],
)
def test_errors_have_the_engines_text(error: Exception, text: str) -> None:
    assert describe(error) == text


@pytest.mark.parametrize(
    ("program", "code", "text"),
    [
        ("nope", errno.ENOENT, 'exec: "nope": executable file not found in $PATH'),
        ("/nope", errno.ENOENT, 'exec: "/nope": stat /nope: no such file or directory'),
        ("/etc", errno.EISDIR, 'exec: "/etc": is a directory'),
        ("/x", errno.EACCES, 'exec: "/x": permission denied'),
    ],
)
@pytest.mark.parametrize("step", ["FindExecutable", "find executable", "execve"])
def test_a_program_that_cannot_run(program: str, code: int, text: str, step: str) -> None:
    error = errors.LaunchError(step, code, program)
    assert start_failure(error, program=program, init=True) == f"unable to start container process: {text}"


def test_a_mount_that_fails_names_both_sides() -> None:
    error = errors.LaunchError("bind mount", errno.ENODEV, "/tmp", detail="x")
    assert start_failure(error, program="sh", init=True) == (
        "unable to start container process: error during container init: "
        'error mounting "x" to rootfs at "/tmp": no such device'
    )


def test_an_exec_has_no_container_init() -> None:
    text = start_failure(errors.LaunchError("setns", errno.EPERM), program="sh", init=False)
    assert text == "unable to start container process: setns: operation not permitted"


def every_error(kind: type[errors.KataHybridError]) -> list[type[errors.KataHybridError]]:
    """The library's own; the agent's, which the command never meets, may be imported beside them."""
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(found for child in children for found in every_error(child))]


MADE: dict[type[errors.KataHybridError], tuple[object, ...]] = {
    errors.ConfigError: ("at", "problem"),
    errors.HookError: ("kind", 0, "problem"),
    errors.UnsupportedError: ("feature", "needs"),
}
KEYWORDS: dict[type[errors.KataHybridError], dict[str, object]] = {
    errors.StatusError: {"status": "stopped", "verb": "kill"},
    errors.StateError: {"path": "/p"},
    errors.CgroupError: {"path": "/p"},
    errors.SignalError: {"errno": errno.ESRCH},
}


@pytest.mark.parametrize("kind", every_error(errors.KataHybridError))
def test_every_error_has_one_line_of_text(kind: type[errors.KataHybridError]) -> None:
    keywords = next((words for base, words in KEYWORDS.items() if issubclass(kind, base)), {})
    text = describe(kind(*MADE.get(kind, ("message",)), **keywords))  # type: ignore[arg-type]
    assert text
    assert "\n" not in text

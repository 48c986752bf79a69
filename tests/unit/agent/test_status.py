"""Every error class has a row, and the texts are the reference's."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest
from kata_hybrid import errors
from kata_hybrid.agent.core import errors as agent
from kata_hybrid.agent.v1.codes import Code
from kata_hybrid.agent.v1.status import TABLE, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def _classes() -> Iterator[type[Exception]]:
    for module in (errors, agent):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, errors.KataHybridError):
                yield kind


@pytest.mark.parametrize("kind", sorted(set(_classes()), key=lambda kind: kind.__name__))
def test_every_error_class_has_its_own_row(kind: type[Exception]) -> None:
    assert kind in TABLE


@pytest.mark.parametrize(
    ("rpc", "error", "code", "text"),
    [
        (
            "CreateSandbox",
            agent.SandboxExists("x"),
            Code.ALREADY_EXISTS,
            "Sandbox already started, impossible to start again",
        ),
        (
            "CreateContainer",
            agent.SandboxNotStarted("x"),
            Code.FAILED_PRECONDITION,
            "Sandbox not started, impossible to run a new container",
        ),
        ("WaitProcess", agent.SandboxNotStarted("x"), Code.FAILED_PRECONDITION, "Sandbox not started"),
        (
            "CreateContainer",
            errors.ContainerExists("x", container_id="c"),
            Code.ALREADY_EXISTS,
            "Container c already exists, impossible to create",
        ),
        (
            "StatsContainer",
            errors.ContainerNotFound("x", container_id="c"),
            Code.NOT_FOUND,
            "Container c not found",
        ),
        (
            "WaitProcess",
            errors.ProcessNotFound("x", container_id="c", exec_id="e"),
            Code.NOT_FOUND,
            "Process e not found (container c)",
        ),
        (
            "SignalProcess",
            errors.ContainerNotFound("x", container_id="c", exec_id="e"),
            Code.FAILED_PRECONDITION,
            "Could not signal process e: rpc error: code = NotFound desc = Container c not found",
        ),
        (
            "SignalProcess",
            errors.ProcessNotFound("x", container_id="c", exec_id="e"),
            Code.NOT_FOUND,
            "Could not signal process: rpc error: code = NotFound desc = Process e not found (container c)",
        ),
        ("SignalProcess", errors.SignalError("x", errno=22), Code.UNKNOWN, "invalid argument"),
        (
            "StartContainer",
            agent.NotCreated("running", container_id="c"),
            Code.FAILED_PRECONDITION,
            "Container c status running, should be created",
        ),
        ("ReadStdout", agent.StreamEnded("x"), Code.OUT_OF_RANGE, "EOF"),
        ("CloseStdin", agent.StdinClosed("x"), Code.UNKNOWN, "close |1: file already closed"),
        (
            "RemoveContainer",
            errors.ContainerNotStopped("x", status="running", verb="delete"),
            Code.UNKNOWN,
            "container is not destroyed",
        ),
        (
            "RemoveContainer",
            errors.ContainerNotStopped("x", status="paused", verb="delete"),
            Code.UNKNOWN,
            "container is paused",
        ),
        (
            "RemoveContainer",
            agent.OperationTimedOut(3, container_id="c"),
            Code.DEADLINE_EXCEEDED,
            "Timeout reached after 3s",
        ),
        ("CopyFile", OSError(40, "x", "/run/a"), Code.UNKNOWN, "/run/a: too many levels of symbolic links"),
        ("Check", RuntimeError("odd\n"), Code.UNKNOWN, "odd"),
    ],
)
def test_codes_and_texts(rpc: str, error: Exception, code: Code, text: str) -> None:
    assert status_of(rpc, error) == (code, text)


def test_a_missing_program_has_the_phrase_that_engines_look_for() -> None:
    cause = errors.LaunchError("find executable", 2, "/bin/foo")
    failure = agent.RunFailed(cause, program="foo", container_id="c", exec_id="c")
    code, text = status_of("CreateContainer", failure)
    assert code is Code.INTERNAL
    assert text.startswith("Could not run process: ")
    assert "executable file not found in $PATH" in text


def test_bytes_that_are_no_utf8_do_not_break_the_status() -> None:
    _, text = status_of("CreateContainer", agent.RootfsError("rootfs (/\udcff) does not exist"))
    text.encode()

"""The agent's command line, and what its process goes without."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kata_hybrid.agent.main import Settings, main, settings_of
from kata_hybrid.cli.options import UsageError


def test_defaults_and_values() -> None:
    assert settings_of(["--listen", "unix:///s"]) == Settings("unix:///s")
    words = ["--listen=unix:///s", "--state-root", "/a", "--namespace-root=/b", "--allow-set-time"]
    assert settings_of([*words, "--log-level", "error"]) == Settings(
        "unix:///s", "/a", "/b", allow_set_time=True, log_level="error"
    )
    assert settings_of(["--help"]) is None


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "--listen is required"),
        (["--listen", "unix:///s", "more"], "unrecognized arguments: more"),
        (["--listen", "unix:///s", "--log-level", "loud"], "--log-level is one of"),
        (["--lisen", "unix:///s"], "not defined"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_loaded(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=text):
        settings_of(words)
    assert main(words) == 2
    assert text in capsys.readouterr().err


def test_an_address_that_is_none_ends_with_one_line() -> None:
    words = [sys.executable, "-m", "kata_hybrid.agent", "--listen", "tcp://1.2.3.4:5"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is not unix:///absolute/path" in done.stderr


def test_serving_loads_neither_tls_nor_a_grpc_library() -> None:
    script = """
import sys
from kata_hybrid.agent import lean
lean.before_loading()
import kata_hybrid.agent.serve
lean.once_serving()
print([name for name in ("_ssl", "grpc", "argparse", "importlib.metadata") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

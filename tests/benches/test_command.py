"""The command line, the table, and how the peers are found."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from support.bench_samples import history, report

from benches import find, isolate, store
from benches.__main__ import main
from benches.find import PeerError
from benches.gate import dump_baseline
from benches.model import Contender, Operation, Place, Suite
from benches.report import number, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def program(path: Path, says: str = "runc version 1.1.5+ds1") -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No peers but those of the test, and no namespace."""

    @contextmanager
    def directory() -> Iterator[Path]:
        yield tmp_path

    monkeypatch.setattr(isolate, "enter", lambda versions: None)
    monkeypatch.setattr(isolate, "directory", directory)
    monkeypatch.setattr(find, "_floor", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in find.NAMES:
        monkeypatch.setenv(find.variable(name), "")  # put back what the command leaves there
        monkeypatch.delenv(find.variable(name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def provider(library_ms: float = 4.0, *, fail: str = "") -> Callable[[Place], Suite]:
    def contender(name: str, ms: float) -> Contender:
        def once(number: int) -> float:
            if name == fail:
                raise OSError(1, "Operation not permitted")
            return (ms + number % 7 / 100) / 1000

        return Contender(name, once)

    def suite(place: Place) -> Suite:
        contenders = [contender("library", library_ms), *(contender(peer, 10.0) for peer in place.peers)]
        operations = [Operation(name, name, contenders, idle=False) for name in ("run", "exec")]
        return Suite(operations, versions={"youki": "0.3"})

    return suite


def test_a_run_is_shown_stored_and_drawn(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(here / "runc")
    words = [
        "compare",
        "--rounds",
        "5",
        "--json",
        "out/run.json",
        "--html",
        "out/page.html",
        "--history",
        "past",
    ]
    assert main(words, provider()) == 0
    shown = capsys.readouterr().out
    assert "run (ms), back to back, n=5: run" in shown
    assert "0.40 [0.40" in shown
    made = store.read(here / "out" / "run.json")
    assert [heading.name for heading in made.headings] == ["run", "exec"]
    assert dict(made.machine.versions) == {"runc": "1.1.5+ds1", "youki": "0.3"}
    assert store.read_all([here / "past"]) == [made]
    assert "<svg" in (here / "out" / "page.html").read_text()
    assert str(here) not in (here / "out" / "run.json").read_text()


def test_only_some_operations(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--only", "exec", "--rounds", "2"], provider()) == 0
    assert "run (ms)" not in capsys.readouterr().out
    assert main(["compare", "--only", "exec,sing"], provider()) == 2
    assert "no such operation: sing; docs/performance.md lists them" in capsys.readouterr().err


def test_our_failure_is_an_exit_status_and_a_peer_s_is_not(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program(here / "runc")
    assert main(["compare", "--rounds", "2"], provider(fail="runc")) == 0
    assert "runc left out: PermissionError" in capsys.readouterr().out
    assert main(["compare", "--rounds", "2"], provider(fail="library")) == 1
    assert "failed: run, back to back: library: PermissionError" in capsys.readouterr().err


def test_the_gate_is_an_exit_status(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(here / "runc")
    assert main(["compare", "--rounds", "9", "--write-baseline", "base.json"], provider(4.0)) == 0
    assert main(["compare", "--rounds", "9", "--gate", "base.json"], provider(4.4)) == 0
    assert "gate: passed, 2 ratios compared" in capsys.readouterr().err
    assert main(["compare", "--rounds", "9", "--gate", "base.json"], provider(9.0)) == 3
    said = capsys.readouterr().err
    assert said.count("run, back to back: library / runc was 0.40 and is 0.90") == 2, "measured once more"
    assert "more than 0.54 allowed" in said
    assert main(["compare", "--rounds", "9", "--gate", "base.json", "--tolerance", "2"], provider(9.0)) == 0


def test_without_the_peer_the_gate_does_not_pass(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "base.json").write_text(dump_baseline(report()))
    assert main(["compare", "--rounds", "2", "--gate", "base.json"], provider()) == 3
    assert "nothing could be compared" in capsys.readouterr().err


def test_a_wrong_command_line_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--gate", "nowhere.json"], provider()) == 2
    assert main(["compare", "--runc", "nowhere/runc"], provider()) == 2
    assert main(["compare", "--peers", "docker"], provider()) == 2
    said = capsys.readouterr().err
    assert "nowhere.json" in said
    assert "runc: nowhere/runc is no program" in said
    assert "no such peer: docker" in said
    with pytest.raises(SystemExit):
        main(["compare", "--rounds", "0"], provider())


def test_what_cannot_be_prepared_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def suite(place: Place) -> Suite:
        raise FileNotFoundError("the floor needs cargo to be built")

    assert main(["compare"], suite) == 2
    assert capsys.readouterr().err == "benches: cannot be prepared: the floor needs cargo to be built\n"


def test_stored_runs_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run in history():
        store.write(run, tmp_path / store.history_name(run))
    assert main(["page", str(tmp_path), "--html", str(tmp_path / "page.html")]) == 0
    assert "5555555" in (tmp_path / "page.html").read_text()
    assert main(["page", str(tmp_path / "none.json")]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["page", str(tmp_path / "empty")]) == 2
    assert "no stored runs" in capsys.readouterr().err


def test_peers_are_taken_from_options_then_the_environment_then_path(here: Path) -> None:
    on_path = program(here / "runc")
    other = here / "other"
    other.mkdir()
    by_variable, by_option = program(other / "a"), program(other / "b")
    environment: dict[str, str] = {}
    assert find.peers({}, environment=environment) == {"runc": on_path}
    environment["KATA_HYBRID_BENCH_RUNC"] = str(by_variable)
    assert find.peers({}, environment=environment) == {"runc": by_variable}
    assert find.peers({"runc": str(by_option)}, environment=environment) == {"runc": by_option}
    environment = {"KATA_HYBRID_BENCH_GO_AGENT": str(by_variable)}
    assert find.peers({}, environment=environment) == {"runc": on_path, "go-agent": by_variable}
    assert find.peers({}, frozenset({"go-agent"}), environment) == {"go-agent": by_variable}
    with pytest.raises(PeerError, match="crun: not found; name it by --crun or KATA_HYBRID_BENCH_CRUN"):
        find.peers({}, frozenset({"crun"}), environment)


def test_versions_are_asked_of_commands_only(here: Path) -> None:
    started = here / "started"
    agent = here / "agent"
    agent.write_text(f"#!/bin/sh\n: > {started}\n")
    agent.chmod(0o755)
    found = find.versions(
        {
            "runc": program(here / "runc"),
            "bwrap": program(here / "bwrap", "bubblewrap 0.8.0"),
            "go-agent": agent,
        }
    )
    assert found == {"runc": "1.1.5+ds1", "bwrap": "0.8.0"}
    assert not started.exists()


def test_the_table_fits_a_terminal_and_has_all_figures() -> None:
    text = table(report())
    assert max(len(line) for line in text.splitlines()[1:]) <= 110
    for expected in (
        "run (ms), 2 launchers, n=60",
        "× of one",
        "1.70",
        "stdout-64 (MB/s)",
        "library /",
        "CPU ms",
    ):
        assert expected in text
    assert "idle agent, resident" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.01234, "0.0123"), (0.5, "0.500"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234")],
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_the_environment_is_left_as_it_was(here: Path) -> None:
    program(here / "runc")
    main(["compare", "--rounds", "1", "--only", "run"], provider())
    assert os.environ["KATA_HYBRID_BENCH_RUNC"] == str(here / "runc"), "for the program started again"

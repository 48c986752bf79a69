"""Global options, dispatch and exit statuses, without any container."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from kata_hybrid.cli import main as command
from kata_hybrid.cli.options import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def run(capfd: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    status = command.main(args)
    out, err = capfd.readouterr()
    return status, out, err


@pytest.mark.parametrize("verb", sorted(command.VERBS))
def test_every_verb_has_a_module_with_help(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    module = import_module(f"kata_hybrid.cli.{verb}")
    assert callable(module.run)
    status, out, _ = run(capfd, verb, "--help")
    assert status == 0
    assert out.startswith(f"USAGE:\n   kata-hybrid {verb} [options]")


def test_unknown_verb_is_status_3(capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capfd, "badverb")
    assert status == 3
    assert "No help topic for 'badverb'" in err


def test_missing_id_shows_usage_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capfd, "create")
    assert status == 1
    assert out.startswith("Incorrect Usage.\n")
    assert '\\"create\\" requires exactly 1 argument(s)' in err


def test_log_format_is_checked_before_the_verb(capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capfd, "--log-format", "xml", "badverb")
    assert status == 1
    assert "invalid log-format: xml" in err


def test_json_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.json"
    status, _, err = run(capfd, "--log", str(log), "--log-format=json", "kill")
    assert status == 1
    assert err == 'kata-hybrid: "kill" requires a minimum of 1 argument(s)\n'
    record = json.loads(log.read_text())
    assert (list(record), record["level"]) == (["level", "msg", "time"], "error")


@pytest.mark.parametrize("root", ["/", "", "//", "/a/.."])
def test_root_must_not_be_the_root(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    with pytest.raises(UsageError, match="Option --root argument should not be set to /"):
        command.state_root(root)


def test_systemd_cgroups_are_refused_where_they_would_matter(capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capfd, "--systemd-cgroup", "create", "c")
    assert status == 1
    assert "systemd cgroups are not supported" in err


def test_rootless_takes_auto_and_booleans(capfd: pytest.CaptureFixture[str]) -> None:
    command.check_rootless("AUTO")
    command.check_rootless("f")
    assert run(capfd, "--rootless=maybe", "list")[0] == 1


def test_version_has_lines_with_names(capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capfd, "--version")
    assert status == 0
    assert [line.partition(":")[0].partition(" ")[0] for line in out.splitlines()] == ["kata-hybrid", "spec"]


@pytest.mark.parametrize("verb", sorted(command.FOREIGN))
def test_foreign_verbs_get_their_arguments(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    fake = ModuleType("fake")
    fake.main = lambda argv: seen.append(argv) or 7  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, command.FOREIGN[verb][0], fake)
    assert command.main([verb, "--x", "y"]) == 7
    assert seen == [["--x", "y"]]


def test_spec_is_tab_indented_and_never_overwritten(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(capfd, "spec", "-b", str(tmp_path))[0] == 0
    text = (tmp_path / "config.json").read_text()
    assert text.startswith('{\n\t"ociVersion"')
    assert text.endswith("}")
    status, _, err = run(capfd, "spec", "--bundle", str(tmp_path))
    assert status == 1
    assert "File config.json exists. Remove it first" in err
    assert (tmp_path / "config.json").read_text() == text


def test_rootless_spec_maps_the_caller(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "spec", "--rootless", "-b", str(tmp_path))[0] == 0
    linux = json.loads((tmp_path / "config.json").read_text())["linux"]
    kinds = {entry["type"] for entry in linux["namespaces"]}
    assert "user" in kinds
    assert "network" not in kinds
    assert linux["uidMappings"][0]["containerID"] == 0


def test_features_are_indented_json(capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capfd, "features")
    assert status == 0
    assert out.startswith('{\n    "ociVersionMin"')
    assert json.loads(out)["linux"]["cgroup"]["systemd"] is False

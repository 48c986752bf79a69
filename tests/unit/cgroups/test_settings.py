from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from kata_hybrid.cgroups import settings as module
from kata_hybrid.cgroups.settings import Setting, Undo, write_settings
from kata_hybrid.errors import CgroupError, UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path


def setting(file: str, value: str, **options: object) -> Setting:
    return Setting("c", (file,), value, f"linux.resources.{file}", **options)  # type: ignore[arg-type]


@pytest.fixture
def group(tmp_path: Path) -> Path:
    (tmp_path / "a").write_text("old a")
    (tmp_path / "b").write_text("8:0 rbps=5\n8:16 rbps=6\n")
    return tmp_path


class Refusing:
    """``write_text`` that refuses some values, and a record of all attempts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused: dict[str, int] = {}
        self.log: list[tuple[str, str]] = []
        self._write = module.write_text
        monkeypatch.setattr(module, "write_text", self)

    def __call__(self, path: str, value: str) -> None:
        self.log.append((os.path.basename(path), value))
        if value in self.refused:
            raise CgroupError(f"write {value!r}", path=path, errno=self.refused[value])
        self._write(path, value)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    return Refusing(monkeypatch)


def test_values_are_written_in_order(group: Path, kernel: Refusing) -> None:
    write_settings([setting("a", "1"), setting("b", "2")], {"c": str(group)}, rollback=False)
    assert kernel.log == [("a", "1"), ("b", "2")]


def test_a_failure_puts_old_values_back_last_first(group: Path, kernel: Refusing) -> None:
    kernel.refused["bad"] = errno.EINVAL
    wanted = [
        setting("a", "1"),
        setting("b", "8:16 rbps=9", undo=Undo.LINE),
        setting("b", "9:9 rbps=1", undo=Undo.LINE, reset="9:9 rbps=max"),
        setting("a", "bad"),
    ]
    (group / "b").write_text("8:0 rbps=5\n8:16 rbps=6\n")
    with pytest.raises(CgroupError) as caught:
        write_settings(wanted, {"c": str(group)}, rollback=True)
    assert caught.value.errno == errno.EINVAL
    assert [entry for entry in kernel.log[4:] if entry[0] == "a"] == [("a", "old a")]
    assert ("b", "9:9 rbps=max") in kernel.log[4:]
    assert ("b", "8:16 rbps=6") in kernel.log[4:]
    assert (group / "a").read_text() == "old a"


def test_without_rollback_nothing_is_put_back(group: Path, kernel: Refusing) -> None:
    kernel.refused["bad"] = errno.EINVAL
    with pytest.raises(CgroupError):
        write_settings([setting("a", "1"), setting("a", "bad")], {"c": str(group)}, rollback=False)
    assert (group / "a").read_text() == "1"


def test_a_failing_last_step_takes_the_settings_back(group: Path) -> None:
    def last() -> None:
        raise CgroupError("devices", path="x", errno=errno.EPERM)

    with pytest.raises(CgroupError, match="devices"):
        write_settings([setting("a", "1")], {"c": str(group)}, rollback=True, then=last)
    assert (group / "a").read_text() == "old a"


def test_a_refusal_to_put_back_is_a_note_on_the_first_error(group: Path, kernel: Refusing) -> None:
    kernel.refused.update({"bad": errno.EINVAL, "old a": errno.EBUSY})
    with pytest.raises(CgroupError) as caught:
        write_settings([setting("a", "1"), setting("a", "bad")], {"c": str(group)}, rollback=True)
    assert "EBUSY" in caught.value.__notes__[0]


def test_a_postponed_value_is_tried_again_after_the_others(
    group: Path, kernel: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.refused["first"] = errno.EINVAL
    attempts: list[str] = []
    inner = kernel

    def write(path: str, value: str) -> None:
        attempts.append(value)
        if value == "second":
            del kernel.refused["first"]
        inner(path, value)

    monkeypatch.setattr(module, "write_text", write)
    wanted = [setting("a", "first", postpone=True), setting("a", "second")]
    write_settings(wanted, {"c": str(group)}, rollback=False)
    assert attempts == ["first", "second", "first"]


def test_a_missing_file_is_unsupported_unless_optional(group: Path) -> None:
    write_settings([setting("none", "max", optional=True)], {"c": str(group)}, rollback=False)
    with pytest.raises(UnsupportedError, match=r"linux\.resources\.none .*cgroup file"):
        write_settings([setting("none", "5")], {"c": str(group)}, rollback=False)
    with pytest.raises(UnsupportedError, match="the cgroup controller c"):
        write_settings([setting("a", "5")], {}, rollback=False)


def test_the_first_existing_name_is_written(group: Path) -> None:
    both = Setting("c", ("none", "a"), "7", "linux.resources.x")
    write_settings([both], {"c": str(group)}, rollback=False)
    assert (group / "a").read_text() == "7"


def test_a_value_that_the_kernel_changed_is_an_error(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_text", lambda path, _value: (group / "a").write_text("2"))
    with pytest.raises(CgroupError, match="the minimum allowed cpu-shares is 2"):
        write_settings(
            [Setting("c", ("a",), "1", "cpu-shares", clamped=True)], {"c": str(group)}, rollback=False
        )

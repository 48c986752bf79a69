"""Everything that is measured. Each module makes operations or surveys of one part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benches.model import Suite

if TYPE_CHECKING:
    from benches.model import Place


def suite(place: Place) -> Suite:
    """Prepare what the run asks for."""
    from benches.operations import agent, command, footprint, library, scale
    from benches.operations.setting import Setting

    setting = Setting(place)
    parts = (library.operations, command.operations, agent.operations)
    operations = [operation for part in parts for operation in part(setting)]
    return Suite(operations, [*footprint.surveys(setting), *scale.surveys(setting)])

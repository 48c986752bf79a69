"""``python -m kata_hybrid``: the command."""

from __future__ import annotations

from .cli.main import command

if __name__ == "__main__":
    command()

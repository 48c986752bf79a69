"""PEP 517 backend: maturin, after the protocol messages have been made.

maturin packs what lies in ``python/``; the generated messages are not committed, so they are made first.
"""

from __future__ import annotations

from typing import Any

import gen_protos
import maturin

get_requires_for_build_wheel = maturin.get_requires_for_build_wheel
get_requires_for_build_editable = maturin.get_requires_for_build_editable
get_requires_for_build_sdist = maturin.get_requires_for_build_sdist
prepare_metadata_for_build_wheel = maturin.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = maturin.prepare_metadata_for_build_editable


def build_wheel(*args: Any, **kwargs: Any) -> str:
    """Source: PEP 517, build_wheel."""
    gen_protos.generate(gen_protos.DEFAULT_OUT)
    return str(maturin.build_wheel(*args, **kwargs))


def build_editable(*args: Any, **kwargs: Any) -> str:
    """Source: PEP 660, build_editable."""
    gen_protos.generate(gen_protos.DEFAULT_OUT)
    return str(maturin.build_editable(*args, **kwargs))


def build_sdist(*args: Any, **kwargs: Any) -> str:
    """Source: PEP 517, build_sdist."""
    gen_protos.generate(gen_protos.DEFAULT_OUT)
    return str(maturin.build_sdist(*args, **kwargs))

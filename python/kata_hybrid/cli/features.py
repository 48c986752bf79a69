"""``features``: what this runtime does, as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .context import write_out
from .main import package_version

if TYPE_CHECKING:
    from .context import Context
    from .options import Option, Parsed

WORDS = ""
OPTIONS: tuple[Option, ...] = ()
ARITY = (0, 0)


def run(context: Context, given: Parsed) -> int:
    """Print the document, indented by four."""
    from ..oci.features import features_document

    document = features_document(version=package_version())
    write_out(json.dumps(document, indent=4, ensure_ascii=False) + "\n")
    return 0

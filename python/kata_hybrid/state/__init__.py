"""Containers on disk: libcontainer's ``state.json``, read and written so that runc can share the root."""

from __future__ import annotations

from .._light import attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .build import build_document
    from .document import NAMESPACE_NAMES, StateDocument, parse_document
    from .proc import is_same_process, process_start_time, process_state
    from .sidecar import Sidecar, parse_sidecar
    from .store import StateDir, Store, check_container_id

__all__ = [
    "NAMESPACE_NAMES",
    "Sidecar",
    "StateDir",
    "StateDocument",
    "Store",
    "build_document",
    "check_container_id",
    "is_same_process",
    "parse_document",
    "parse_sidecar",
    "process_start_time",
    "process_state",
]

__getattr__ = attributes(
    __name__,
    {
        "NAMESPACE_NAMES": "document",
        "Sidecar": "sidecar",
        "StateDir": "store",
        "StateDocument": "document",
        "Store": "store",
        "build_document": "build",
        "check_container_id": "store",
        "is_same_process": "proc",
        "parse_document": "document",
        "parse_sidecar": "sidecar",
        "process_start_time": "proc",
        "process_state": "proc",
    },
)

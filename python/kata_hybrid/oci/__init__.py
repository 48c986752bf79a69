"""OCI runtime configuration: read, check, write. No system calls but reading ``config.json``.

::

    parse_spec, load_spec          config.json as a frozen Spec
    parse_process, parse_resources its parts, as exec and update take them
    spec_to_dict, ...              back to JSON
    validate_spec, ...             the rules between fields
    default_spec                   what the ``spec`` verb writes

Every error is a :class:`~kata_hybrid.errors.ConfigError` with a JSON path; nothing else comes out of any
input. Text is ``str`` with surrogate escapes for bytes that are no UTF-8.
"""

from __future__ import annotations

from .._light import attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .defaults import default_spec
    from .encode import hooks_to_dict, process_to_dict, resources_to_dict, spec_to_dict
    from .load import load_spec, parse_process, parse_resources, parse_spec
    from .validate import validate_process, validate_resources, validate_spec

OCI_VERSION = "1.2.0"
"""The newest version of the specification that is understood."""

__all__ = [
    "OCI_VERSION",
    "default_spec",
    "hooks_to_dict",
    "load_spec",
    "parse_process",
    "parse_resources",
    "parse_spec",
    "process_to_dict",
    "resources_to_dict",
    "spec_to_dict",
    "validate_process",
    "validate_resources",
    "validate_spec",
]

__getattr__ = attributes(
    __name__,
    {
        "default_spec": "defaults",
        "hooks_to_dict": "encode",
        "load_spec": "load",
        "parse_process": "load",
        "parse_resources": "load",
        "parse_spec": "load",
        "process_to_dict": "encode",
        "resources_to_dict": "encode",
        "spec_to_dict": "encode",
        "validate_process": "validate",
        "validate_resources": "validate",
        "validate_spec": "validate",
    },
)

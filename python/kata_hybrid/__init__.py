"""Starts, watches and tears down Linux containers.

>>> from kata_hybrid import Runtime
>>> container = Runtime().run("web1", bundle="/srv/web1")
>>> container.wait()
ExitStatus(code=0, signal=0)

Names are imported when they are first used: a command that only reads a state file does not pay for the rest.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kata_hybrid.errors import (
        CgroupError,
        ConfigError,
        ContainerExists,
        ContainerNotFound,
        ContainerNotPaused,
        ContainerNotRunning,
        ContainerNotStopped,
        HookError,
        KataHybridError,
        LaunchError,
        ProcessExists,
        ProcessNotFound,
        SignalError,
        StateError,
        StatusError,
        UnsupportedError,
    )
    from kata_hybrid.oci import default_spec, load_spec, parse_spec
    from kata_hybrid.oci.config import Resources, Spec
    from kata_hybrid.runtime import (
        Container,
        ContainerState,
        ExitStatus,
        Process,
        Runtime,
        Status,
        Stdio,
        Stream,
    )
    from kata_hybrid.runtime.aio import AsyncContainer, AsyncProcess, AsyncRuntime

__version__ = "0.1.0"

__all__ = [
    "AsyncContainer",
    "AsyncProcess",
    "AsyncRuntime",
    "CgroupError",
    "ConfigError",
    "Container",
    "ContainerExists",
    "ContainerNotFound",
    "ContainerNotPaused",
    "ContainerNotRunning",
    "ContainerNotStopped",
    "ContainerState",
    "ExitStatus",
    "HookError",
    "KataHybridError",
    "LaunchError",
    "Process",
    "ProcessExists",
    "ProcessNotFound",
    "Resources",
    "Runtime",
    "SignalError",
    "Spec",
    "StateError",
    "Status",
    "StatusError",
    "Stdio",
    "Stream",
    "UnsupportedError",
    "__version__",
    "default_spec",
    "load_spec",
    "parse_spec",
]

_MODULES = {
    **dict.fromkeys(("AsyncContainer", "AsyncProcess", "AsyncRuntime"), "kata_hybrid.runtime.aio"),
    **dict.fromkeys(("default_spec", "load_spec", "parse_spec"), "kata_hybrid.oci"),
    **dict.fromkeys(("Resources", "Spec"), "kata_hybrid.oci.config"),
    **dict.fromkeys(
        (
            "Container",
            "ContainerState",
            "ExitStatus",
            "Process",
            "Runtime",
            "Status",
            "Stdio",
            "Stream",
        ),
        "kata_hybrid.runtime",
    ),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(__import__(_MODULES.get(name, "kata_hybrid.errors"), fromlist=("",)), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""``spec``: write a configuration to start from."""

from __future__ import annotations

import json
import os

from ..oci.config import IDMapping, Mount, Namespace, NamespaceType
from ..oci.defaults import default_spec
from ..oci.encode import spec_to_dict
from .options import FLAG, Option
from .texts import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import replace

    from ..oci.config import Spec
    from .context import Context
    from .options import Parsed
else:
    from kata_hybrid._record import replace

WORDS = ""
OPTIONS: tuple[Option, ...] = (
    Option(("bundle", "b"), help="the bundle's directory (default: the current one)"),
    Option(("rootless",), FLAG, "for a caller without root's rights"),
)
ARITY = (0, 0)
NAME = "config.json"


def run(context: Context, given: Parsed) -> int:
    """Write ``config.json``; an existing one is never touched."""
    spec = default_spec()
    if given.flag("rootless"):
        spec = rootless(spec, os.geteuid(), os.getegid())
    path = os.path.join(given.value("bundle") or ".", NAME)
    text = json.dumps(spec_to_dict(spec), indent="\t", ensure_ascii=False)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise CommandError(f"File {NAME} exists. Remove it first") from None
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)
    context.journal.debug(f"wrote {path}")
    return 0


def rootless(spec: Spec, uid: int, gid: int) -> Spec:
    """The same for an unprivileged caller: a user namespace with one id, the host's network, no limits."""
    namespaces = tuple(ns for ns in spec.linux.namespaces if ns.type is not NamespaceType.NETWORK)
    linux = replace(
        spec.linux,
        namespaces=(*namespaces, Namespace(NamespaceType.USER)),
        uid_mappings=(IDMapping(0, uid, 1),),
        gid_mappings=(IDMapping(0, gid, 1),),
        resources=None,
    )
    return replace(spec, linux=linux, mounts=tuple(_rootless_mount(mount) for mount in spec.mounts))


def _rootless_mount(mount: Mount) -> Mount:
    """``sysfs`` belongs to the owner of the network namespace, and only mapped ids can be named."""
    if mount.destination == "/sys":
        return Mount("/sys", "none", "/sys", ("rbind", "nosuid", "noexec", "nodev", "ro"))
    options = tuple(word for word in mount.options if not word.startswith(("uid=", "gid=")))
    return replace(mount, options=options)

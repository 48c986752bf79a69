"""A new container's state document, as runc would have written it, so that runc can go on with it.

Members that are zero, empty or null are left out, as runc from 1.4 on does and every runc reads.
Sources: libcontainer's State and Config types as they appear in files of runc 1.1 and later.
"""

from __future__ import annotations

import posixpath

from ..oci.config import NamespaceType
from ..oci.devices import DEFAULT_DEVICE_RULES, DEFAULT_DEVICES
from ..oci.names import PERSONALITIES, ROOTFS_PROPAGATIONS
from .document import NAMESPACE_NAMES, make_labels, parse_document
from .filters import seccomp_members
from .limits import device_rule, write_resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from ..oci.config import Device, Hook, Hooks, IDMapping, Linux, Mount, Process, Spec
    from .document import StateDocument

_NAMESPACE_FILES = {
    "NEWCGROUP": "cgroup",
    "NEWIPC": "ipc",
    "NEWNET": "net",
    "NEWNS": "mnt",
    "NEWPID": "pid",
    "NEWUSER": "user",
    "NEWUTS": "uts",
}
"""Listed whether unshared or not; NEWTIME only when it is, since runc before 1.2 does not know it."""

_DEFAULT_FILE_MODE = 0o666


def build_document(
    spec: Spec,
    *,
    container_id: str,
    pid: int,
    start_time: int,
    created: str,
    rootfs: str,
    bundle: str,
    cgroup_paths: Mapping[str, str],
    no_pivot: bool = False,
    no_new_keyring: bool = False,
    external_descriptors: Sequence[str] = (),
    rootless: bool = False,
) -> StateDocument:
    """The document of a container that is ready to run.

    Args:
        pid: of init in the host's pid namespace.
        start_time: field 22 of ``/proc/<pid>/stat``.
        created: RFC 3339 with ``Z``.
        rootfs, bundle: absolute host paths.
        cgroup_paths: controller to absolute directory, ``""`` for the unified hierarchy.
        external_descriptors: what init's fds 0 to 2 are, link texts; for checkpoints.
        rootless: no privilege over the host's ids and cgroups.
    """
    joined = {entry.type for entry in spec.linux.namespaces}
    files = dict(_NAMESPACE_FILES)
    if NamespaceType.TIME in joined:
        files["NEWTIME"] = "time"
    raw: dict[str, Any] = {
        "id": container_id,
        "init_process_pid": pid,
        "init_process_start": start_time,
        "created": created,
        "config": {
            **_dropping_empty({"no_pivot_root": no_pivot}),
            "rootfs": rootfs,
            **_process_head(spec),
            **_root_members(spec, bundle),
            **_linux_members(spec, container_id, rootless=rootless),
            "Hooks": _hooks(spec.hooks),
            "version": spec.oci_version,
            "labels": make_labels(spec.annotations, bundle),
            **_dropping_empty(
                {"no_new_keyring": no_new_keyring, "rootless_euid": rootless, "rootless_cgroups": rootless}
            ),
            **_late_members(spec),
        },
        **_dropping_empty({"rootless": rootless, "cgroup_paths": dict(cgroup_paths)}),
        "namespace_paths": {name: f"/proc/{pid}/ns/{files[name]}" for name in sorted(files)},
        **_dropping_empty({"external_descriptors": list(external_descriptors)}),
    }
    return parse_document(raw, path="state.json")


def _dropping_empty(members: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value}


def _process_head(spec: Spec) -> dict[str, Any]:
    umask = spec.process.user.umask if spec.process is not None else None
    return {} if umask is None else {"umask": umask}


def _root_members(spec: Spec, bundle: str) -> dict[str, Any]:
    return {
        **_dropping_empty(
            {
                "readonlyfs": spec.root is not None and spec.root.readonly,
                "rootPropagation": ROOTFS_PROPAGATIONS.get(spec.linux.rootfs_propagation, 0),
            }
        ),
        "mounts": [_mount(mount, bundle) for mount in spec.mounts],
        "devices": [*_device_nodes(spec.linux.devices)],
        **_dropping_empty({"mount_label": spec.linux.mount_label}),
        **_dropping_empty({"hostname": spec.hostname, "domainname": spec.domainname}),
    }


def _mount(mount: Mount, bundle: str) -> dict[str, Any]:
    from ..plan.options import MS_BIND, fold_options

    folded = fold_options(mount.options)
    bind = bool(folded.flags & MS_BIND) or mount.type == "bind"
    source = mount.source
    if bind and not source.startswith("/"):
        source = posixpath.join(bundle, source)
    attributes = {"Attr_set": folded.set_attr, "Attr_clr": folded.clr_attr, "Propagation": 0, "Userns_fd": 0}
    return {
        "source": source,
        "destination": posixpath.normpath("/" + mount.destination.lstrip("/")),
        "device": "bind" if bind else mount.type,
        **_dropping_empty(
            {
                "flags": folded.flags | (MS_BIND if bind else 0),
                "cleared_flags": folded.cleared,
                "propagation_flags": list(folded.propagation),
                "data": folded.data,
                "rec_attr": attributes if folded.set_attr or folded.clr_attr else None,
            }
        ),
    }


def _device_nodes(own: Sequence[Device]) -> Iterable[dict[str, Any]]:
    replaced = {device.path for device in own}
    for device in DEFAULT_DEVICES:
        if device.path not in replaced:
            yield _device(device, permissions="rwm")
    for device in own:
        yield _device(device, permissions="")


def _device(device: Device, *, permissions: str) -> dict[str, Any]:
    return {
        "type": ord(device.type),
        "major": device.major,
        "minor": device.minor,
        "permissions": permissions,
        "allow": bool(permissions),
        "path": device.path,
        "file_mode": _DEFAULT_FILE_MODE if device.file_mode is None else device.file_mode,
        "uid": device.uid or 0,
        "gid": device.gid or 0,
    }


def _linux_members(spec: Spec, container_id: str, *, rootless: bool) -> dict[str, Any]:
    linux = spec.linux
    own_net = any(ns.type is NamespaceType.NETWORK and ns.path is None for ns in linux.namespaces)
    return {
        "namespaces": [{"type": NAMESPACE_NAMES[ns.type], "path": ns.path or ""} for ns in linux.namespaces],
        **_process_members(spec.process),
        **({"networks": [{"type": "loopback"}]} if own_net else {}),
        "cgroups": _cgroups(linux, container_id, rootless=rootless),
        **_process_limits(spec.process),
        **_dropping_empty(
            {
                "uid_mappings": _id_map(linux.uid_mappings),
                "gid_mappings": _id_map(linux.gid_mappings),
                "mask_paths": list(linux.masked_paths),
                "readonly_paths": list(linux.readonly_paths),
                "sysctl": dict(linux.sysctl),
                "seccomp": seccomp_members(linux.seccomp) if linux.seccomp is not None else None,
                "no_new_privileges": spec.process is not None and spec.process.no_new_privileges,
            }
        ),
    }


def _process_members(process: Process | None) -> dict[str, Any]:
    if process is None or process.capabilities is None:
        return {}
    sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
    found = {name.capitalize(): list(getattr(process.capabilities, name)) or None for name in sets}
    return {"capabilities": found}


def _process_limits(process: Process | None) -> dict[str, Any]:
    """Resource limits are not among them: they belong to a process, and exec reads them from the bundle."""
    if process is None:
        return {}
    found = _dropping_empty(
        {
            "apparmor_profile": process.apparmor_profile,
            "process_label": process.selinux_label,
        }
    )
    if process.oom_score_adj is not None:
        found["oom_score_adj"] = process.oom_score_adj
    return found


def _cgroups(linux: Linux, container_id: str, *, rootless: bool) -> dict[str, Any]:
    """``devices`` is always there: runc 1.1 refuses a cgroup v1 container without any limit."""
    wanted = linux.resources.devices if linux.resources is not None else ()
    cgroups: dict[str, Any] = {
        "name": "" if linux.cgroups_path else container_id,
        "path": linux.cgroups_path,
        "devices": [device_rule(rule) for rule in (*wanted, *DEFAULT_DEVICE_RULES)],
        "Systemd": False,
        "Rootless": rootless,
    }
    return write_resources(cgroups, linux.resources) if linux.resources is not None else cgroups


def _id_map(mappings: Sequence[IDMapping]) -> list[dict[str, int]]:
    return [{"container_id": m.container_id, "host_id": m.host_id, "size": m.size} for m in mappings]


def _hooks(hooks: Hooks) -> dict[str, Any]:
    return {
        "createContainer": _hook_list(hooks.create_container),
        "createRuntime": _hook_list(hooks.create_runtime),
        "poststart": _hook_list(hooks.poststart),
        "poststop": _hook_list(hooks.poststop),
        "prestart": _hook_list(hooks.prestart),
        "startContainer": _hook_list(hooks.start_container),
    }


def _hook_list(hooks: Sequence[Hook]) -> list[dict[str, Any]] | None:
    """Timeouts in nanoseconds."""
    if not hooks:
        return None
    return [
        {
            "path": hook.path,
            "args": list(hook.args) or None,
            "env": None if hook.env is None else list(hook.env),
            "dir": "",
            "timeout": None if hook.timeout is None else hook.timeout * 1_000_000_000,
        }
        for hook in hooks
    ]


def _late_members(spec: Spec) -> dict[str, Any]:
    linux, process = spec.linux, spec.process
    found: dict[str, Any] = {}
    if linux.time_offsets:
        found["time_offsets"] = {clock: _json_of(value) for clock, value in linux.time_offsets.items()}
    if process is not None and process.scheduler is not None:
        found["scheduler"] = _json_of(process.scheduler)
    if linux.personality is not None:
        found["personality"] = {"domain": PERSONALITIES.get(linux.personality.domain, 0), "flags": None}
    if process is not None and process.io_priority is not None:
        found["io_priority"] = _json_of(process.io_priority)
    return found


def _json_of(value: object) -> Any:
    from ..oci.encode import to_json  # seldom needed

    return to_json(value)

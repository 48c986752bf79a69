"""Configurations for the plan tests: one small fixed one, and a hypothesis strategy for wild ones."""

from __future__ import annotations

from hypothesis import strategies as st
from kata_hybrid.oci import config as oci
from kata_hybrid.oci.config import NamespaceType as Ns
from kata_hybrid.oci.names import CAPABILITIES, RLIMITS
from kata_hybrid.plan.options import KNOWN, UNSUPPORTED

BASIC_KINDS = (Ns.PID, Ns.NETWORK, Ns.IPC, Ns.UTS, Ns.MOUNT)


def process(**changes: object) -> oci.Process:
    fields: dict[str, object] = {"cwd": "/", "args": ("sh", "-c", "true"), "env": ("PATH=/usr/bin:/bin",)}
    return oci.Process(**(fields | changes))  # type: ignore[arg-type]


def linux(*kinds: Ns, **changes: object) -> oci.Linux:
    fields: dict[str, object] = {"namespaces": tuple(oci.Namespace(kind) for kind in kinds or BASIC_KINDS)}
    return oci.Linux(**(fields | changes))  # type: ignore[arg-type]


def spec(**changes: object) -> oci.Spec:
    fields: dict[str, object] = {
        "oci_version": "1.2.0",
        "root": oci.Root("rootfs"),
        "process": process(),
        "mounts": (
            oci.Mount("/proc", "proc", "proc"),
            oci.Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "mode=755")),
        ),
        "linux": linux(),
    }
    return oci.Spec(**(fields | changes))  # type: ignore[arg-type]


paths = st.lists(st.sampled_from(["a", "dev", "proc", "..", "sys", "x y", "\udcff", ""]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
texts = st.one_of(st.text(max_size=8), st.sampled_from(["sh", "/bin/sh", "a\0b", "\udcfe"]))
words = st.one_of(st.sampled_from(sorted([*KNOWN, *UNSUPPORTED, "size=1k", "mode=755"])), texts)
mounts = st.builds(
    oci.Mount,
    destination=st.one_of(paths, texts),
    type=st.sampled_from(["", "bind", "proc", "tmpfs", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue"]),
    source=st.one_of(paths, texts),
    options=st.lists(words, max_size=4).map(tuple),
)
ids = st.one_of(st.integers(0, 70000), st.sampled_from([2**32 - 1, -1]))
cap_sets = st.lists(st.sampled_from([*CAPABILITIES, "CAP_NONE"]), max_size=5).map(tuple)
capabilities = st.builds(
    oci.Capabilities,
    bounding=cap_sets,
    effective=cap_sets,
    inheritable=cap_sets,
    permitted=cap_sets,
    ambient=cap_sets,
)
rlimits = st.builds(
    oci.Rlimit,
    type=st.sampled_from([*RLIMITS, "RLIMIT_NONE"]),
    soft=st.integers(0, 2**64 - 1),
    hard=st.integers(2**63, 2**64),
)
processes = st.builds(
    oci.Process,
    cwd=paths,
    args=st.lists(texts, max_size=3).map(tuple),
    env=st.lists(st.one_of(texts, st.just("A=b"), st.just("PATH=/bin")), max_size=3).map(tuple),
    terminal=st.booleans(),
    user=st.builds(oci.User, uid=ids, gid=ids, additional_gids=st.lists(ids, max_size=3).map(tuple)),
    capabilities=st.none() | capabilities,
    rlimits=st.lists(rlimits, max_size=2).map(tuple),
    no_new_privileges=st.booleans(),
    oom_score_adj=st.none() | st.integers(-1100, 1100),
    apparmor_profile=st.sampled_from(["", "", "unconfined", "docker-default"]),
)
namespaces = st.lists(
    st.builds(
        oci.Namespace, type=st.sampled_from(list(Ns)), path=st.sampled_from([None, None, "/ns/x", "x"])
    ),
    unique_by=lambda ns: ns.type,
    max_size=8,
).map(lambda found: (*(ns for ns in found if ns.type is not Ns.MOUNT), oci.Namespace(Ns.MOUNT)))
hooks = st.lists(st.builds(oci.Hook, path=paths, timeout=st.none() | st.integers(1, 9)), max_size=2).map(
    tuple
)
mappings = st.sampled_from([(), (oci.IDMapping(0, 100000, 65536),)])
linuxes = st.builds(
    oci.Linux,
    namespaces=namespaces,
    uid_mappings=mappings,
    gid_mappings=mappings,
    sysctl=st.dictionaries(
        st.sampled_from(["net.ipv4.ip_forward", "kernel.sem", "vm.swappiness"]), texts, max_size=2
    ),
    devices=st.lists(
        st.builds(oci.Device, path=paths, type=st.sampled_from(["c", "u", "b", "p", "x"])), max_size=2
    ).map(tuple),
    rootfs_propagation=st.sampled_from(["", "rslave", "private", "shared", "odd"]),
    masked_paths=st.lists(paths, max_size=3).map(tuple),
    readonly_paths=st.lists(paths, max_size=3).map(tuple),
    intel_rdt=st.none(),
    personality=st.none(),
    seccomp=st.none(),
    resources=st.none(),
    time_offsets=st.dictionaries(
        st.sampled_from(["monotonic", "boottime"]), st.builds(oci.TimeOffset), max_size=2
    ),
    net_devices=st.just({}),
    mount_label=st.just(""),
    cgroups_path=st.just(""),
)
specs = st.builds(
    oci.Spec,
    oci_version=st.just("1.2.0"),
    root=st.builds(oci.Root, path=st.just("rootfs"), readonly=st.booleans()),
    process=processes,
    hostname=texts,
    domainname=st.just(""),
    mounts=st.lists(mounts, max_size=4).map(tuple),
    hooks=st.builds(
        oci.Hooks,
        create_container=hooks,
        start_container=hooks,
        prestart=st.just(()),
        create_runtime=st.just(()),
        poststart=st.just(()),
        poststop=st.just(()),
    ),
    annotations=st.dictionaries(texts, texts, max_size=1),
    linux=linuxes,
)

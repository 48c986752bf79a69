"""What a plan refuses: settings that this build or host cannot keep. Nothing about safety is ever ignored."""

from __future__ import annotations

from ..errors import ConfigError, UnsupportedError
from ..oci.config import NamespaceType as Ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.config import Process, Spec
    from .host import HostFacts
    from .namespaces import NamespaceSet


def refuse_spec(spec: Spec, facts: HostFacts, spaces: NamespaceSet) -> None:
    """Raise for a container that cannot be made as configured.

    Raises:
        ConfigError: no mount namespace, or a setting that would reach the caller's own namespace.
        UnsupportedError: intelRdt, netDevices or a mount label.
    """
    linux = spec.linux
    if not spaces.has(Ns.MOUNT):
        raise ConfigError("linux.namespaces", "a mount namespace is required")
    if spec.hostname and not spaces.has(Ns.UTS):
        raise ConfigError("hostname", "unable to set hostname without a private UTS namespace")
    if spec.domainname and not spaces.has(Ns.UTS):
        raise ConfigError("domainname", "unable to set domainname without a private UTS namespace")
    if linux.time_offsets and not spaces.has(Ns.TIME):
        raise ConfigError(
            "linux.timeOffsets",
            "time namespace offsets specified, but time namespace isn't enabled in the config",
        )
    if linux.time_offsets and Ns.TIME in spaces.joined:
        raise ConfigError(
            "linux.timeOffsets",
            "time namespace enabled, but both namespace path and time offsets specified -- "
            "you may only provide one",
        )
    if linux.intel_rdt is not None:
        raise UnsupportedError("intelRdt", "a build with resctrl support")
    if linux.net_devices:
        raise UnsupportedError("netDevices", "a build that moves network devices")
    if linux.mount_label:
        raise UnsupportedError("mountLabel", _selinux_needs(facts))


def refuse_process(process: Process, facts: HostFacts, *, additional: bool = False) -> None:
    """Raise for a process that cannot be confined as configured.

    Args:
        process: to be started.
        facts: security modules of the host.
        additional: it is not the container's first one.

    Raises:
        UnsupportedError: an AppArmor profile, an SELinux label, or CPU affinity of an exec.
    """
    profile = process.apparmor_profile
    if profile and (facts.apparmor or profile != "unconfined"):
        needs = "a build that applies profiles" if facts.apparmor else "a host with AppArmor enabled"
        raise UnsupportedError(f"apparmor profile {profile}", needs)
    if process.selinux_label:
        raise UnsupportedError("selinux label", _selinux_needs(facts))
    if additional and process.exec_cpu_affinity is not None:
        raise UnsupportedError("execCPUAffinity", "a build that sets the affinity of an exec")


def _selinux_needs(facts: HostFacts) -> str:
    return "a build that applies labels" if facts.selinux else "a host with SELinux enabled"

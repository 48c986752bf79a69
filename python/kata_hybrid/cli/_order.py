"""What the verbs import, in an order in which each module finds what it imports itself.

Only a matter of time: what is missing here is imported where it is needed, and what is too much is loaded for
nothing. A test compares it with what the verbs do (tests/integration/test_command_imports.py).
"""

from __future__ import annotations

_LOOKING = """
    errors cli.texts _light runtime. cgroups. _smallfile cgroups.layout cgroups.manager oci. oci.config
    runtime.orphans runtime.process runtime.adopt runtime.status runtime.container
    state. _json state._read state.document state.store runtime.runtime
    cgroups.files cgroups.freeze cgroups.tree cgroups.v1
"""
_LAUNCHING = """
    oci._keys oci._decode oci.load
    plan. plan.steps plan.encode plan.launch plan.limits plan.namespaces plan.options
    oci.names plan.capabilities plan.process plan.seccomp plan.build plan.host
    runtime.destroy runtime.home runtime.join runtime.undo runtime.launch runtime.stdio
"""
_CREATING = """
    oci._rule oci._rules_linux oci._rules_namespaces oci._rules_mounts oci._rules_process
    oci._rules_resources oci._rules_seccomp oci.validate
    oci.devices plan.devices plan.mounts state.proc state.sidecar runtime.create
"""

_WRITING = "state.filters state.limits state.build"

ORDER = {
    "create": _LOOKING + _LAUNCHING + _CREATING + _WRITING + " cli.launching cli.create",
    "delete": _LOOKING + "runtime.destroy cli.delete",
    "exec": _LOOKING + _LAUNCHING + "runtime.execute runtime.exectable cli.launching cli.foreground cli.exec",
    "kill": _LOOKING + "cli.kill",
    "list": _LOOKING + "cli.state cli.list",
    "run": _LOOKING + _LAUNCHING + _CREATING + _WRITING + " cli.launching cli.create cli.foreground cli.run",
    "start": _LOOKING + "cli.start",
    "state": _LOOKING + "cli.state",
}
"""Names below ``kata_hybrid`` for each verb that engines call often; packages with a dot at the end."""

"""``exec``: run another process in a running container."""

from __future__ import annotations

import os

from ..errors import KataHybridError
from ..oci.config import Capabilities, User
from .launching import absolute, check_terminal, listen_fds, preserved, send_pidfd, with_listen_fds
from .options import FLAG, MANY, Option, check_arity
from .texts import CommandError, describe, start_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from dataclasses import replace

    from ..oci.config import Process as ProcessConfig
    from ..runtime import Container, Process
    from .context import Context
    from .options import Parsed
else:
    from kata_hybrid._record import replace

FAILED_STATUS = 255
STOP_AT_WORD = True
WORDS = "<container-id> <command> [arguments] || --process <file> <container-id>"
ARITY = (1, None)
OPTIONS: tuple[Option, ...] = (
    Option(("console-socket",), help="unix socket that gets the terminal's master"),
    Option(("pidfd-socket",), help="unix socket that gets a pidfd of the process"),
    Option(("cwd",), help="working directory in the container"),
    Option(("env", "e"), MANY, "NAME=value, added to the environment"),
    Option(("tty", "t"), FLAG, "give it a terminal"),
    Option(("user", "u"), help="uid[:gid]"),
    Option(("additional-gids", "g"), MANY, "another group id"),
    Option(("process", "p"), help="file with the process object"),
    Option(("detach", "d"), FLAG, "do not wait for it"),
    Option(("pid-file",), help="file to write the process id to"),
    Option(("process-label",), help="SELinux label"),
    Option(("apparmor",), help="AppArmor profile"),
    Option(("no-new-privs",), FLAG, "forbid gaining privileges"),
    Option(("cap", "c"), MANY, "another capability"),
    Option(("preserve-fds",), help="number of descriptors from 3 on to hand over"),
    Option(("cgroup",), MANY, "not supported: a cgroup below the container's"),
    Option(("ignore-paused",), FLAG, "also into a paused container"),
)


def run(context: Context, given: Parsed) -> int:
    """Exit status: the process's, 128 plus the signal that ended it; 0 when detached; 255 on failure."""
    if not given.value("process"):
        check_arity("exec", given.words, 1, None)
    try:
        return _exec(context, given)
    except CommandError as err:
        raise CommandError(f"exec failed: {err}", FAILED_STATUS) from err
    except KataHybridError as err:
        raise CommandError(f"exec failed: {describe(err)}", FAILED_STATUS) from err


def _exec(context: Context, given: Parsed) -> int:
    if given.many("cgroup"):
        raise CommandError("exec into a cgroup below the container's is not supported")
    container = context.runtime().load(given.words[0])
    config = process_config(container, given)
    detach = given.flag("detach")
    check_terminal(given, terminal=config.terminal, detach=detach)
    sockets = listen_fds(os.environ, os.getpid())
    config = with_listen_fds(config, sockets)
    if detach:
        _start(container, config, given, sockets)
        return 0
    from .foreground import Foreground

    with Foreground() as foreground:
        return foreground.attend(_start(container, config, given, sockets)).status


def _start(container: Container, config: ProcessConfig, given: Parsed, sockets: int) -> Process:
    try:
        process = container.exec(
            config,
            console_socket=absolute(given.value("console-socket")),
            pid_file=absolute(given.value("pid-file")),
            preserve_fds=preserved(given, sockets),
            ignore_paused=given.flag("ignore-paused"),
        )
    except KataHybridError as err:
        raise CommandError(start_failure(err, program=config.args[0], init=False)) from err
    send_pidfd(absolute(given.value("pidfd-socket")), process, b"setns")
    return process


def process_config(container: Container, given: Parsed) -> ProcessConfig:
    """The whole process object: from ``--process``, or the container's own with the options applied.

    Raises:
        CommandError: no arguments, or an option that is wrong.
        ConfigError: the file holds no process object.
    """
    path = given.value("process")
    if path:
        from ..oci import parse_process

        with open(path, "rb") as file:
            return parse_process(file.read())
    base = container.spec.process
    args = given.words[1:]
    if base is None:
        raise CommandError("the container's configuration has no process")
    if not args:
        raise CommandError("process args cannot be empty")
    return applied(base, args, given)


def applied(base: ProcessConfig, args: Sequence[str], given: Parsed) -> ProcessConfig:
    """``base`` with the command line's arguments and options; the terminal is only on request."""
    return replace(
        base,
        args=tuple(args),
        cwd=given.value("cwd") or base.cwd,
        env=(*base.env, *given.many("env")),
        terminal=given.flag("tty"),
        console_size=None,
        user=user_of(base.user, given.value("user"), given.many("additional-gids")),
        apparmor_profile=given.value("apparmor") or base.apparmor_profile,
        selinux_label=given.value("process-label") or base.selinux_label,
        no_new_privileges=base.no_new_privileges or given.flag("no-new-privs"),
        capabilities=with_caps(base.capabilities, given.many("cap")),
    )


def user_of(base: User, text: str | None, gids: Sequence[str]) -> User:
    """``uid[:gid]`` in numbers and additional groups.

    Raises:
        CommandError: something that is no number.
    """
    user = base
    if text:
        uid, colon, gid = text.partition(":")
        user = replace(user, uid=_number(uid, "uid"), gid=_number(gid, "gid") if colon else user.gid)
    if gids:
        more = tuple(_number(gid, "gid") for gid in gids)
        user = replace(user, additional_gids=(*user.additional_gids, *more))
    return user


def _number(text: str, what: str) -> int:
    if not text.isdecimal():
        raise CommandError(
            f'parsing {text} as int for {what} failed: strconv.Atoi: parsing "{text}": invalid syntax'
        )
    return int(text)


def with_caps(base: Capabilities | None, more: Sequence[str]) -> Capabilities | None:
    """``more`` added to the bounding, effective and permitted sets; ambient ones stay as they are."""
    if not more:
        return base
    base = base or Capabilities()
    return replace(
        base,
        bounding=(*base.bounding, *more),
        effective=(*base.effective, *more),
        permitted=(*base.permitted, *more),
    )

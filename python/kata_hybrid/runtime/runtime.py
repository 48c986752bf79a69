"""All containers below one state directory: making, finding, listing and removing them.

Containers that this process made are kept in one table for the whole process, so that two ``Runtime``
objects of the same root never both wait for the same child. Everything else is found on disk.
"""

from __future__ import annotations

import os
from _thread import allocate_lock as Lock  # noqa: N812 - threading itself takes three milliseconds

from kata_hybrid.errors import ContainerNotFound, KataHybridError
from kata_hybrid.runtime import adopt
from kata_hybrid.runtime.container import Container
from kata_hybrid.runtime.process import Process
from kata_hybrid.state.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypedDict, Unpack

    from kata_hybrid.oci.config import Spec
    from kata_hybrid.runtime.status import ContainerState
    from kata_hybrid.runtime.stdio import Stdio

    class CreateArguments(TypedDict, total=False):
        """Keyword arguments of ``create`` and ``run``; :class:`CreateOptions` explains them."""

        stdio: Stdio
        console_socket: str | None
        pid_file: str | None
        no_pivot: bool
        no_new_keyring: bool
        preserve_fds: int


DEFAULT_ROOT: Final = "/run/kata-hybrid"

_live: dict[str, Container] = {}
_live_lock = Lock()


class Runtime:
    """The containers of one root directory.

    Args:
        root: where their state is kept; made on first use, 0700.
    """

    def __init__(self, root: str = DEFAULT_ROOT) -> None:
        self.root = os.path.abspath(root)
        self._store = Store(self.root)

    def __repr__(self) -> str:
        return f"Runtime({self.root})"

    def create(
        self,
        container_id: str,
        *,
        bundle: str | None = None,
        spec: Spec | None = None,
        **arguments: Unpack[CreateArguments],
    ) -> Container:
        """Make a container whose init process waits for :meth:`Container.start`.

        Args:
            bundle: directory with ``config.json``; relative paths in the configuration start there.
            spec: a configuration to use in place of the bundle's file.

        Raises:
            ConfigError: the configuration is wrong; nothing was touched.
            ContainerExists: the id is taken.
            LaunchError, HookError, CgroupError: a step failed; nothing is left.
        """
        return self._make(container_id, bundle, spec, arguments, fifo=True)

    def run(
        self,
        container_id: str,
        *,
        bundle: str | None = None,
        spec: Spec | None = None,
        **arguments: Unpack[CreateArguments],
    ) -> Container:
        """:meth:`create` and ``start`` in one, without the wait in between. Same errors.

        Raises:
            HookError: also when a poststart hook failed; the container is deleted then.
        """
        container = self._make(container_id, bundle, spec, arguments, fifo=False)
        try:
            container.run_poststart()
        except BaseException as err:
            _delete_after(container, err)
            raise
        return container

    def _make(
        self, container_id: str, bundle: str | None, spec: Spec | None, given: CreateArguments, *, fifo: bool
    ) -> Container:
        from kata_hybrid.runtime import create  # who only looks at containers does without

        options = create.CreateOptions(**given)
        drawn = create.draw(self._store, container_id, bundle=bundle, spec=spec, options=options, fifo=fifo)
        made = create.build(self._store, drawn)
        init = Process(
            made.child,
            container_id=container_id,
            exec_id=container_id,
            stdio=made.stdio,
            terminal=bool(drawn.spec.process and drawn.spec.process.terminal),
        )
        init.own()
        container = Container(
            directory=made.directory,
            document=made.document,
            manager=made.manager,
            init=init,
            spec=drawn.spec,
            on_gone=_forget,
        )
        with _live_lock:
            _live[made.directory.path] = container
        return container

    def load(self, container_id: str) -> Container:
        """The container of this id, made here or found on disk, also one that runc made.

        Raises:
            ContainerNotFound: there is none.
            StateError: its state file is unreadable or torn.
        """
        try:
            directory = self._store.load(container_id)
            document = directory.read()
        except ContainerNotFound:
            self._drop_deleted(container_id)
            raise
        with _live_lock:
            known = _live.get(directory.path)
        if known is not None and known.is_of(document):
            return known
        return Container(
            directory=directory,
            document=document,
            manager=adopt.manager_of(document),
            init=adopt.init_of(document),
        )

    def _drop_deleted(self, container_id: str) -> None:
        """Somebody else has deleted it: only those who still wait for it need the object."""
        with _live_lock:
            _live.pop(os.path.join(self.root, container_id), None)

    def list(self) -> list[ContainerState]:
        """The states of all containers; a directory that is half made or foreign is left out."""
        states: list[ContainerState] = []
        for container_id in self._store.list():
            try:
                states.append(self.load(container_id).state())
            except KataHybridError:  # being made or removed right now, or not a container
                continue
        return states

    def delete(self, container_id: str, *, force: bool = False) -> None:
        """:meth:`Container.delete` by id; also removes what a killed runtime left half made.

        Args:
            force: kill it first, and be content when there is no such container.

        Raises:
            ContainerNotFound: there is none, or it was half made (and has been removed), without ``force``.
        """
        try:
            container = self.load(container_id)
        except ContainerNotFound:
            adopt.remove_half_made(self._store, container_id)
            if force:
                return
            raise
        container.delete(force)


def _forget(container: Container) -> None:
    with _live_lock:
        for path in [path for path, known in _live.items() if known is container]:
            del _live[path]


def _delete_after(container: Container, first: BaseException) -> None:
    try:
        container.delete(force=True)
    except KataHybridError as later:
        first.add_note(f"while deleting: {later}")

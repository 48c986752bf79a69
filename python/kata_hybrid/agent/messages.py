"""Message classes straight from descriptors.

protoc's modules import protobuf's Python parts (its pure implementation, text format, pickle), 3 MiB, 20 ms,
that an agent has no use for. Its C part, upb, makes the same classes from serialized descriptors. How to ask
it is no public interface: whatever does not work as expected leads to the public way, which is only slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

    Files = Iterable[tuple[str, bytes]]


class Messages:
    """The message classes of one file, as attributes."""

    def __init__(self, classes: dict[str, type[Message]]) -> None:
        self.__dict__.update(classes)


def load(files: Files) -> dict[str, Messages]:
    """File name to its message classes, in a descriptor pool of their own.

    Args:
        files: name and serialized ``FileDescriptorProto``, imported ones first.
    """
    files = tuple(files)
    try:
        return _load_by_upb(files)
    except (ImportError, AttributeError, TypeError, SystemError):
        return _load_by_protobuf(files)


def _load_by_upb(files: Files) -> dict[str, Messages]:
    from google._upb import _message
    from google.protobuf.message import Message

    def made(descriptor: Any) -> Any:
        nested = {each.name: made(each) for each in descriptor.nested_types}
        members = {"DESCRIPTOR": descriptor, "__module__": __name__, **nested}
        return _message.MessageMeta(descriptor.name, (Message,), members)

    pool = _message.DescriptorPool()
    return {name: _classes(pool.AddSerializedFile(data), made) for name, data in files}


def _load_by_protobuf(files: Files) -> dict[str, Messages]:
    from google.protobuf import descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    for _, data in files:
        pool.AddSerializedFile(data)
    return {name: _classes(pool.FindFileByName(name), message_factory.GetMessageClass) for name, _ in files}


def _classes(file: Any, made: Any) -> Messages:
    return Messages({name: made(each) for name, each in file.message_types_by_name.items()})

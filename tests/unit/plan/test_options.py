"""Mount option words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kata_hybrid.errors import UnsupportedError
from kata_hybrid.oci.features import features_document
from kata_hybrid.plan import options
from kata_hybrid.plan.options import fold_options


def test_features_list_every_word_and_no_other() -> None:
    assert features_document()["mountOptions"] == sorted(options.KNOWN)


@given(st.lists(st.sampled_from(sorted(options.KNOWN))))
def test_known_words_never_become_data_and_no_bit_is_both_set_and_cleared(words: list[str]) -> None:
    folded = fold_options(words)
    assert folded.data == ""
    assert not folded.flags & folded.cleared


@pytest.mark.parametrize(
    ("words", "flags", "cleared"),
    [
        (["ro", "rw"], 0, options.MS_RDONLY),
        (["rw", "ro"], options.MS_RDONLY, 0),
        (["rbind"], options.MS_BIND | options.MS_REC, 0),
        (["defaults", "nosuid", "suid"], 0, options.MS_NOSUID),
    ],
)
def test_the_last_word_wins(words: list[str], flags: int, cleared: int) -> None:
    folded = fold_options(words)
    assert (folded.flags, folded.cleared) == (flags, cleared)


def test_unknown_words_are_data_in_their_order() -> None:
    assert fold_options(["size=64k", "ro", "mode=755"]).data == "size=64k,mode=755"


def test_propagation_keeps_every_word_in_order() -> None:
    folded = fold_options(["rslave", "shared"])
    assert folded.propagation == (options.MS_SLAVE | options.MS_REC, options.MS_SHARED)
    assert len(folded.packed_propagation) == 8


@pytest.mark.parametrize(
    ("words", "attributes"),
    [
        (["rro"], (1, 0)),
        (["rro", "rrw"], (0, 1)),
        (["rnoatime"], (0x10, 0x70)),
        (["rnoatime", "rrelatime"], (0, 0x70)),
        (["rro", "rstrictatime"], (0x21, 0x70)),
    ],
)
def test_recursive_words_clear_the_whole_atime_field(words: list[str], attributes: tuple[int, int]) -> None:
    folded = fold_options(words)
    assert (folded.set_attr, folded.clr_attr) == attributes


@pytest.mark.parametrize("word", ["idmap", "ridmap", "idmap=uids=0-1-1", "tmpcopyup"])
def test_words_that_change_ownership_or_content_are_refused(word: str) -> None:
    with pytest.raises(UnsupportedError):
        fold_options([word])

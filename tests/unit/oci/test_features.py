"""The features document says what is done, no more."""

from __future__ import annotations

import json

import pytest
from kata_hybrid.errors import ConfigError
from kata_hybrid.oci import default_spec, parse_spec, spec_to_dict, validate_spec
from kata_hybrid.oci.features import features_document
from kata_hybrid.oci.names import CAPABILITIES


def test_document_is_json_with_the_required_members() -> None:
    document = json.loads(json.dumps(features_document(version="1", commit="abc")))
    assert {"ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux"} <= document.keys()
    assert document["mountOptions"] == sorted(set(document["mountOptions"]))
    assert document["annotations"]["io.kata-hybrid.commit"] == "abc"


def test_capabilities_stand_at_their_numbers() -> None:
    assert (CAPABILITIES.index("CAP_SYS_ADMIN"), CAPABILITIES.index("CAP_CHECKPOINT_RESTORE")) == (21, 40)


@pytest.mark.parametrize("action", [*features_document()["linux"]["seccomp"]["actions"], "SCMP_ACT_NOTIFY"])
def test_actions_are_accepted_exactly_when_announced(action: str) -> None:
    base = spec_to_dict(default_spec())
    rule = {"names": ["mkdir"], "action": action}
    base["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    if action in features_document()["linux"]["seccomp"]["actions"]:
        validate_spec(parse_spec(base))
    else:
        with pytest.raises(ConfigError):
            validate_spec(parse_spec(base))

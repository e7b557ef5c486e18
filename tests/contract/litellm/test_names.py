"""The models that an alias allows: LiteLLM's own check in its image, compared with our check of tenant files."""

from __future__ import annotations

import itertools
import json
import subprocess

import pytest

from tests.support.images import image
from tollgate.config.gateway.model_names import ModelNames

pytestmark = pytest.mark.docker

NAMES = ModelNames(frozenset({"model", "other"}), {"alias": "model", "second": "model", "else": "other"})
ASK = """
import json, sys
from litellm import Router
from litellm.proxy.auth.auth_checks import _can_object_call_model
models, aliases, questions = json.load(sys.stdin)
served = [{"model_name": name, "litellm_params": {"model": "openai/x", "api_key": "x"}} for name in models]
router = Router(model_list=served, model_group_alias=aliases)
def may(name, allowed):
    try:
        return _can_object_call_model(model=name, llm_router=router, models=allowed, object_type="team")
    except Exception as error:
        assert type(error).__name__ == "ModelAccessDeniedProxyException", error
        return False
print(json.dumps([may(*question) for question in questions]))
"""


def test_a_name_is_allowed_by_itself_or_by_its_model() -> None:
    every = sorted([*NAMES.models, *NAMES.aliases])
    questions = [(name, list(allowed)) for name in every for allowed in itertools.combinations(every, 2)]
    questions += [(name, [allowed]) for name in every for allowed in every]
    command = ["docker", "run", "--rm", "--interactive", "--network=none", "--entrypoint=python"]
    asked = json.dumps([sorted(NAMES.models), NAMES.aliases, questions])
    done = subprocess.run(
        [*command, image("LITELLM_IMAGE"), "-c", ASK], input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    ours = [NAMES.within(name, allowed) for name, allowed in questions]
    assert answers == ours
    assert {True, False} == set(answers)
    assert not NAMES.within("model", ["alias"]), "an alias does not allow its model"

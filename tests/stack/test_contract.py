"""The provider's tests with the official SDKs, unchanged, against the gateway. They must pass through it.

They leave out an upstream's faults: the router retries them and takes the upstream out for a while.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import httpx

from tests.stack.requests import chat, message
from tests.support import logs
from tests.support.stack import ROOT, Stack

SDK_SUITES = ("tests/contract/provider/test_anthropic_sdk.py", "tests/contract/provider/test_openai_sdk.py")
# Headers that tell of the insides: keys' spend, upstream addresses, versions. The call id is for support requests, the
# model group is the name the client used, and whether a fallback answered is the client's business.
INSIDES = re.compile(
    r"^(x-litellm-(?!call-id$|model-group$|attempted-)|llm_provider-|x-ratelimit-.*-litellm)", re.IGNORECASE
)


def test_the_sdks_find_the_same_behind_the_gateway(stack: Stack, allow_in_logs: list[str]) -> None:
    allow_in_logs.append(logs.UPSTREAM_FAULTS)
    environment = {
        **os.environ,
        "TOLLGATE_CONTRACT_URL": stack.url,
        "TOLLGATE_CONTRACT_KEY": stack.key("contractor"),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SDK_SUITES]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=840)
    assert done.returncode == 0, done.stdout[-6000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout[-2000:]
    assert int(passed.group(1)) >= 40


def test_answers_do_not_tell_of_the_insides(gateway: httpx.Client) -> None:
    for path, body in (("/v1/messages", message()), ("/v1/chat/completions", chat())):
        answer = gateway.post(path, json=body)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if INSIDES.match(name)]
        assert answer.headers["request-id"]


def test_the_insides_are_there_to_be_hidden(stack: Stack) -> None:
    """The twin: a replica asked past nginx sends some, so the test above would see them."""
    code = f"""
import json, urllib.request as r
request = r.Request("http://litellm-1:4000/v1/chat/completions", {json.dumps(chat())!r}.encode(),
    {{"authorization": "Bearer {stack.key("contractor")}", "content-type": "application/json"}})
print(json.dumps(list(r.urlopen(request, timeout=60).headers)))
"""
    assert [name for name in json.loads(stack.python("provider", code)) if INSIDES.match(name)]

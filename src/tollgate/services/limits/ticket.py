"""The header with which a gateway process hands a request to a replica that it has let in already.

It names what the request took from the limits, so that the replica counts nothing again and settles exactly that. It
is signed with a secret that only gateway processes and replicas have, for one key, one model and one minute. A header
without this signature changes nothing: the replica then asks the limits itself.
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

from tollgate.services.limits.counters import Call, Take
from tollgate.services.limits.rule import TENANT, Holder, Rule

HEADER = b"x-tollgate-admitted"
# In the replica's answer: it has taken the request over and settles it.
TAKEN_OVER = b"x-tollgate-taken-over"
# Gateway processes and replicas run on one host. A replica that is busy may read a request late.
VALID_S = 60
_NOBODY = Holder(TENANT, "", "")


def sign(secret: str, call: Call, token: str, model: str, now: float) -> str:
    """`token` is the hash of the caller's key, `model` the model that the limits were asked for. `now` is Unix time."""
    begin = len(call.tenant)
    takes = [[take.rule.kind, take.key[begin:], take.add] for take in call.takes]
    stated = {"call": call.id, "tenant": call.tenant, "token": token, "model": model, "at": int(now), "takes": takes}
    text = base64.urlsafe_b64encode(json.dumps(stated, separators=(",", ":")).encode()).decode()
    return f"{text}.{_mac(secret, text)}"


def read(secret: str, header: str, token: str, model: str, now: float) -> Call | None:
    """The call that the header names; None if it is not signed for this key, this model and this time."""
    text, _, mac = header.rpartition(".")
    if not secret or not hmac.compare_digest(_mac(secret, text).encode(), mac.encode("utf-8", "replace")):
        return None
    stated: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text))
    if (stated["token"], stated["model"]) != (token, model) or abs(now - stated["at"]) > VALID_S:
        return None
    takes = tuple(_take(stated["tenant"], *take) for take in stated["takes"])
    return Call(stated["call"], stated["tenant"], takes)


def _take(tenant: str, kind: str, name: str, add: int) -> Take:
    """A take for settling. Only the limiter that let the request in had to know the limit."""
    return Take(Rule(_NOBODY, kind, 0, ""), tenant + name, 0, add, 0)


def _mac(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode("utf-8", "replace"), "sha256").hexdigest()

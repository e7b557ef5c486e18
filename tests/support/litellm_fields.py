"""Finds the names that the installed LiteLLM reads of a request, in its own source. Runs in its image, prints JSON.

`declared` are the names that LiteLLM lists as its own options. `read` are the names that its code reads from a
request's body, and `metadata` those that it reads from a request's metadata. These two come from a search in the
source, so they contain some names that belong to other dictionaries.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

# Variables that hold a request's body on its way through LiteLLM, and those that hold its metadata.
BODIES = frozenset(
    [
        "data",
        "request_data",
        "kwargs",
        "request_body",
        "request_kwargs",
        "body",
        "_request_body",
        "non_default_params",
        "litellm_params",
        "data_copy",
        "new_kwargs",
        "input_kwargs",
        "completion_kwargs",
        "parsed_body",
        "passed_params",
        "special_params",
    ]
)
METADATA = frozenset(
    [
        "metadata",
        "_metadata",
        "litellm_metadata",
        "requester_metadata",
        "request_metadata",
        "_litellm_metadata",
        "user_metadata",
    ]
)
# No request of a tenant comes here: management, other APIs, exporters, the code that speaks one provider's language.
ELSEWHERE = (
    *(
        f"proxy/{name}_endpoints"
        for name in ["management", "google", "openai_files", "batches", "fine_tuning", "vector_store"]
    ),
    *(f"proxy/{name}_endpoints" for name in ["rag", "image", "video", "response_api", "config_management", "agent"]),
    *("proxy/_experimental", "proxy/client", "proxy/pass_through_endpoints", "proxy/guardrails/guardrail_hooks"),
    *("proxy/management_helpers", "proxy/a2a", "integrations", "responses/", "assistants", "batches", "files/"),
    *("fine_tuning", "images/", "videos", "realtime", "rerank", "ocr", "vector_stores", "skills", "containers"),
    *("interactions", "google_genai", "rag", "evals", "a2a", "search", "llms/"),
)


def declared() -> set[str]:
    """LiteLLM's own options, by its own lists; and the parameters of the calls that a body's fields become."""
    utils = import_module("litellm.types.utils")
    router = import_module("litellm.types.router")
    before = import_module("litellm.proxy.litellm_pre_call_utils")
    litellm = import_module("litellm")
    names = set(utils.all_litellm_params) | set(router.GenericLiteLLMParams.model_fields)
    names |= set(before._UNTRUSTED_ROOT_CONTROL_FIELDS) | set(before._CLIENT_PRICING_CONTROL_FIELDS)
    for call in ("acompletion", "completion", "embedding", "text_completion", "anthropic_messages"):
        names |= set(inspect.signature(getattr(litellm, call)).parameters)
    return names - {"args", "kwargs"}


def reads(package: Path, variables: frozenset[str], *, subscripts: bool = False) -> set[str]:
    """The constants with which code below `package` looks into a variable of these names."""
    names: set[str] = set()
    for path in package.rglob("*.py"):
        if not path.relative_to(package).as_posix().startswith(ELSEWHERE):
            for node in ast.walk(ast.parse(path.read_text())):
                names.update(_names(node, variables, subscripts))
    return names


def _names(node: ast.AST, variables: frozenset[str], subscripts: bool) -> Iterator[str]:
    def holds(value: ast.AST) -> bool:
        if isinstance(value, ast.Name):
            return value.id in variables
        slot = value.slice if isinstance(value, ast.Subscript) else None
        return subscripts and isinstance(slot, ast.Constant) and slot.value in variables

    key: ast.AST | None = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        if node.func.attr in ("get", "pop", "setdefault") and holds(node.func.value):
            key = node.args[0]
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and holds(node.value):
        key = node.slice
    elif isinstance(node, ast.Compare) and any(holds(one) for one in node.comparators):
        key = node.left
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        yield key.value


def main() -> None:
    package = Path(str(import_module("litellm").__file__)).parent
    before = import_module("litellm.proxy.litellm_pre_call_utils")
    metadata = reads(package, METADATA, subscripts=True)
    metadata |= set(before._UNTRUSTED_METADATA_CONTROL_FIELDS) | set(before._ROUTER_RESERVED_METADATA_FIELDS)
    metadata |= set(before.LITELLM_TRACE_CONTROL_METADATA_FIELDS) | set(before._CLIENT_PRICING_METADATA_FIELDS)
    found = {"declared": declared(), "read": reads(package, BODIES), "metadata": metadata}
    json.dump({kind: sorted(names) for kind, names in found.items()}, sys.stdout)


if __name__ == "__main__":
    main()

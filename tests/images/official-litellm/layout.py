"""Prints what a replica would find: whether there is bytecode, and whether `enterprise` can be imported."""

import json
import sys
from importlib.util import cache_from_source, find_spec
from pathlib import Path


def compiled(name: str) -> bool:
    spec = find_spec(name)
    return spec is not None and Path(cache_from_source(str(spec.origin))).is_file()


print(
    json.dumps(
        {
            "compiled": {name: compiled(name) for name in ("litellm", "litellm.layout", "prisma", "older")},
            "enterprise": find_spec("enterprise") is not None,
            "python": sys.prefix,
        }
    )
)

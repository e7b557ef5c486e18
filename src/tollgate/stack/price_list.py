"""Whether LiteLLM's own price list has what `price: litellm` leaves to it, asked of the image that is to serve.

LiteLLM refuses a model without a price when it is asked for, but by name only: beside a target that has one, another
without would be served at no cost, and no budget would stop it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tollgate.config import source
from tollgate.config.models import price_of
from tollgate.config.source import Loc
from tollgate.errors import InputError
from tollgate.render.litellm import provider_model
from tollgate.site import Site
from tollgate.stack.configuration import Configuration
from tollgate.stack.docker import docker

# Runs in the image. The list alone answers in an instant; importing LiteLLM, which knows more spellings of a name
# (regions, versions), takes ten seconds, so it is asked only about what is left.
SCRIPT = """
import importlib.util, json, pathlib, sys
def priced(entry):
    values = [value for key, value in (entry or {}).items() if "cost_per" in key]
    return any(isinstance(value, (int, float)) and value > 0 for value in values)
names = json.load(sys.stdin)
package = pathlib.Path(importlib.util.find_spec("litellm").origin).parent
listed = json.loads((package / "model_prices_and_context_window_backup.json").read_text())
def stands_there(name):
    provider, _, bare = name.partition("/")
    entry = listed.get(name) or listed.get(bare) or {}
    return str(entry.get("litellm_provider")).startswith(provider) and priced(entry)
left = [name for name in names if not stands_there(name)]
if left:
    import litellm
    def known(name):
        try:
            return priced(litellm.get_model_info(model=name))
        except Exception:
            return False
    left = [name for name in left if not known(name)]
print(json.dumps(left))
"""
CONFINED = (
    *("--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=65534:65534"),
    *("--tmpfs=/tmp:mode=1777", "--env=HOME=/tmp", "--env=LITELLM_LOCAL_MODEL_COST_MAP=true"),
)


def check(site: Site, configuration: Configuration, image: str) -> None:
    """InputError with every target that is left to the list and is not in it; nothing is run where none is."""
    left_to_it = list(_left_to_it(configuration))
    if not left_to_it:
        return
    names = sorted({name for name, _ in left_to_it})
    command = ("docker", "run", "--rm", "--interactive", *CONFINED, "--entrypoint=python", image, "-c", SCRIPT)
    answer = docker(command, timeout=180, what="LiteLLM's price list", given=json.dumps(names))
    unknown = set(json.loads(answer.splitlines()[-1]))
    if not unknown:
        return
    document = source.parse(site.gateway_file.read_text(), site.gateway_file)
    hint = (
        "write the provider's price: {input_per_million: ..., output_per_million: ...}, or free for your own hardware"
    )
    raise InputError(
        document.problem(loc, f"LiteLLM's price list has no price for {name}", hint)
        for name, loc in left_to_it
        if name in unknown
    )


def _left_to_it(configuration: Configuration) -> Iterator[tuple[str, Loc]]:
    """Each such target that is served: its model as LiteLLM is told it, and where its price stands."""
    gateway = configuration.gateway
    backends = {backend.alias: name for name, backend in gateway.backends.items()}
    for name, model in configuration.catalogue.models.items():
        for target in model.targets:
            if price_of(target, model) != "litellm":
                continue
            if name in backends:
                yield provider_model(target), ("backends", backends[name], "price")
            elif target.price:
                place = gateway.models[name].targets.index(target)
                yield provider_model(target), ("models", name, "targets", place, "price")
            else:
                yield provider_model(target), ("models", name, "price")

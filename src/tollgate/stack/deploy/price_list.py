"""Checks that LiteLLM's price list, in the image to deploy, has a price for each target with `price: litellm`.

LiteLLM refuses requests for a model without a price, but it checks only the name. If one target of a model has a price
and another has none, LiteLLM would serve the other at no cost, and no budget would stop it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tollgate.config.gateway.model import price_of
from tollgate.config.yaml import document as source
from tollgate.config.yaml.document import Loc
from tollgate.errors import InputError
from tollgate.render.litellm import provider_model
from tollgate.render.users import USERS
from tollgate.site import Site
from tollgate.stack.configuration import Configuration
from tollgate.stack.host.docker import docker

# Runs in the image. Reading the list takes an instant. Importing LiteLLM takes ten seconds, but it knows more spellings
# of a name (regions, versions), so the script imports it only for names that the list lacks.
SCRIPT = """
import importlib.util, json, pathlib, sys
def priced(entry):
    values = [value for key, value in (entry or {}).items() if "cost_per" in key]
    return any(isinstance(value, (int, float)) and value > 0 for value in values)
names = json.load(sys.stdin)
package = pathlib.Path(importlib.util.find_spec("litellm").origin).parent
listed = json.loads((package / "model_prices_and_context_window_backup.json").read_text())
def is_listed(name):
    provider, _, bare = name.partition("/")
    entry = listed.get(name) or listed.get(bare) or {}
    return str(entry.get("litellm_provider")).startswith(provider) and priced(entry)
left = [name for name in names if not is_listed(name)]
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
    *(
        "--network=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--user={USERS['backends']}:{USERS['backends']}",
    ),
    *("--tmpfs=/tmp:mode=1777", "--env=HOME=/tmp", "--env=LITELLM_LOCAL_MODEL_COST_MAP=true"),
)


def check(site: Site, configuration: Configuration, image: str) -> None:
    """Raise InputError with every target that needs the list and is not in it. Without such a target nothing runs."""
    targets = list(_listed_targets(configuration))
    if not targets:
        return
    names = sorted({name for name, _ in targets})
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
        for name, loc in targets
        if name in unknown
    )


def _listed_targets(configuration: Configuration) -> Iterator[tuple[str, Loc]]:
    """Each served target with `price: litellm`: its model name in LiteLLM, and where its price is set."""
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

"""config/gateway.yaml: which models the gateway serves, at what price, and how it routes requests.

Money is USD per million tokens, times are seconds, sizes are MB as nginx counts them (2^20 bytes). `parse` checks the
whole file and reports everything at once: unknown names, circles, missing prices.
"""

from __future__ import annotations

from pathlib import Path

from tollgate.config.gateway import backend as backends
from tollgate.config.gateway import name_checks, target_checks
from tollgate.config.gateway.file import Gateway
from tollgate.config.gateway.model import Model, Target
from tollgate.config.validate import validate
from tollgate.config.yaml.document import Document, literal_variables
from tollgate.config.yaml.document import parse as parse_yaml
from tollgate.config.yaml.text import read
from tollgate.errors import InputError


def load(file: Path) -> Gateway:
    return parse(read(file), file)


def parse(text: str, file: Path) -> Gateway:
    """Raises InputError with every problem of the file at once."""
    document: Document = parse_yaml(text, file)
    problems = list(literal_variables(document, "name a key of .env as env:NAME_API_KEY"))
    try:
        gateway = validate(Gateway, document)
    except InputError as error:
        places = {problem.path for problem in problems}
        raise InputError([*problems, *(other for other in error.problems if other.path not in places)]) from None
    taken = {name: f"a model, on line {document.line(('models', name))}" for name in gateway.models}
    taken |= {name: f"an alias, on line {document.line(('aliases', name))}" for name in gateway.aliases}
    problems += backends.problems(gateway.backends, taken, document)
    gateway = with_backends(gateway)
    problems += target_checks.target_checks(gateway, document)
    problems += name_checks.name_checks(gateway, document)
    if problems:
        raise InputError(problems)
    return gateway


def with_backends(gateway: Gateway) -> Gateway:
    """The gateway with each backend added as a model."""
    served = {
        backend.alias: Model(
            description=f"{backend.kind.title}, {'run here' if backend.run else 'your own'}",
            targets=(Target.model_validate(backends.target(name, backend)),),
            context_tokens=backend.context_tokens,
            max_output_tokens=backend.max_output_tokens,
            tools=backend.known("tools"),
            vision=backend.known("vision"),
        )
        for name, backend in gateway.backends.items()
        if backend.somewhere
    }
    return gateway.model_copy(update={"models": {**served, **gateway.models}})

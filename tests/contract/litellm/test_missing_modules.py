"""The optional modules that LiteLLM cannot import in our image. It needs only the image's Python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.images import image
from tollgate.services.replica.missing_modules import OPTIONAL

pytestmark = pytest.mark.docker

SERVICES = Path(__file__).resolve().parents[3] / "src" / "tollgate"
# Counts how often Python runs each module while LiteLLM would try to import it three times.
ASK = """
import json, sys
from importlib import import_module
from tollgate.services.replica.missing_modules import OPTIONAL, remember_missing_modules

if sys.argv[1] == "ours":
    remember_missing_modules()
runs = dict.fromkeys(OPTIONAL, 0)
files = {name.replace(".", "/") + ".py": name for name in OPTIONAL}


def count(event, arguments):
    if event == "exec":
        for file, name in files.items():
            runs[name] += getattr(arguments[0], "co_filename", "").endswith("/" + file)


sys.addaudithook(count)
for name in OPTIONAL * 3:
    try:
        import_module(name)
    except ImportError:
        pass
print(json.dumps(runs))
"""


def runs(whose: str) -> dict[str, int]:
    options = [f"--mount=type=bind,source={SERVICES},target=/opt/tollgate/tollgate,readonly", "--network=none"]
    options += ["--tmpfs=/tmp", "--env=LITELLM_LOCAL_MODEL_COST_MAP=True", "--env=PYTHONPATH=/opt/tollgate"]
    command = ["docker", "run", "--rm", *options, "--entrypoint=python", image("LITELLM_IMAGE"), "-c", ASK, whose]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_missing_module_does_not_run_again() -> None:
    assert runs("ours") == dict.fromkeys(OPTIONAL, 0)


def test_twin_without_our_layer_each_try_runs_it() -> None:
    """When a module can be imported after all, this fails, and its name can leave the list."""
    assert runs("theirs") == dict.fromkeys(OPTIONAL, 3)

"""The paths of a deployment are said in one place: `Site` knows each that is below var/ and secrets/."""

from __future__ import annotations

import re
from pathlib import Path

from tollgate.site import Site

PACKAGE = Site.here().root / "src" / "tollgate"
# A path that is put together below one of these directories.
ELSEWHERE = re.compile(r"""/ ["']var["']|site\.(?:secrets_dir|rendered_dir) /|home / ["'](?:secrets|tenants)["']""")


def test_no_other_module_puts_such_a_path_together() -> None:
    found = [
        str(file.relative_to(PACKAGE))
        for file in sorted(PACKAGE.rglob("*.py"))
        if file.name != "site.py" and ELSEWHERE.search(file.read_text())
    ]
    assert found == []


def test_twin_one_would_be_noticed() -> None:
    for text in ('site.home / "var" / "lock"', "site.secrets_dir / name", "self._site.rendered_dir / FILE"):
        assert ELSEWHERE.search(text)


def test_every_path_is_below_its_own_home(tmp_path: Path) -> None:
    site = Site.here(tmp_path)
    names = [name for name in dir(Site) if not name.startswith("_") and isinstance(getattr(Site, name), property)]
    paths = [path for name in names if isinstance(path := getattr(site, name), Path) and name != "env_example"]
    assert len(paths) > 15
    assert all(path.is_relative_to(tmp_path.resolve()) for path in paths)
    assert len(set(paths)) == len(paths), "no two names for one path"
    inner = site.serve_local.compose_env.relative_to(tmp_path.resolve())
    assert str(inner) == "var/serve-local/var/rendered/compose.env"

"""The made-up series of `make bench-panels`: real names, and all that panels read of tenants, models and targets."""

from __future__ import annotations

import re
from pathlib import Path

from tests.bench import panel_series, panels

ROOT = Path(__file__).resolve().parents[3]
# One series for each process, or none until something rare happens: these cost nothing.
SINGLE = re.compile(
    r"tollgate_(gateway_(journal|redis|converter|fallbacks|cut)_?\w*|\w*(certificate|backup)\w*|gateway_running)"
)


def known() -> set[str]:
    text = "\n".join(file.read_text() for file in (ROOT / "tests" / "fixtures" / "metrics").glob("*.txt"))
    return set(re.findall(r"^[a-z_][\w:]*", text, re.MULTILINE))


def test_every_name_is_a_real_one() -> None:
    assert {family.name for family in panel_series.families(1)} - {"up"} <= known()


def test_what_panels_read_of_tenants_models_and_targets_is_there() -> None:
    made = {family.name for family in panel_series.families(1)}
    read = {name for query in panels.asked() for name in re.findall(r"(?<!:)\btollgate_\w+(?!\w*:)", query.expr)}
    assert {name for name in read if not SINGLE.fullmatch(name)} <= made


def test_a_series_is_written_with_a_sample_for_each_step(tmp_path: Path) -> None:
    family = panel_series.Family("spent_total", {"tenant": ("a", "b")}, 60, 15)
    file = tmp_path / "series.txt"
    assert panel_series.write(file, [family], 1_000_000) == 10
    lines = file.read_text().splitlines()
    assert lines[0].startswith('spent_total{tenant="a"} ')
    assert lines[0].endswith(" 999940")
    assert lines[-2:] == [lines[-2], "# EOF"]
    values = [float(line.split()[1]) for line in lines[:5]]
    assert values == sorted(values), "a counter never falls"

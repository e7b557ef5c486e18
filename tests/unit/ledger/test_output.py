"""The ledger's output: a name that a person chose never becomes markup, a formula or a terminal code."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.support import ledger
from tollgate.errors import TollgateError
from tollgate.figures import room
from tollgate.ledger import figures, output
from tollgate.ledger.charts import cumulative, daily
from tollgate.ledger.month import Month, month
from tollgate.ledger.page import page
from tollgate.ledger.rows import clean, loads
from tollgate.ledger.usage import usage
from tollgate.ledger.windows import month_of
from tollgate.site import Site
from tollgate.stack import ledger as reading
from tollgate.stack.containers.compose import Compose


class Page(HTMLParser):
    """Counts what a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += data


def of(name: str, **more: object) -> Month:
    answer = ledger.answer() | {"teams": [ledger.team(name=name)]} | more
    for key in answer["keys"]:
        key["name"] = name
    for entry in answer["entries"]:
        entry["model"] = name
    reasons = {"failures": [{"status": name, "kind": name, "requests": 1}]}
    found = month(answer, reasons, ledger.TENANT, month_of(ledger.NOW.date()), ledger.NOW)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "</style><b>", "{{ 7*7 }}"]
)
def test_names_are_text_on_the_page(name: str) -> None:
    plain, harmed = Page(page(of("plain"))), Page(page(of(name)))
    assert harmed.tags == plain.tags
    assert name in harmed.words


def test_the_page_needs_nothing_from_anywhere() -> None:
    text = page(of("plain"))
    seen = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(seen.tags)
    names = {name for name, _ in seen.attributes}
    assert not {name for name in names if name.startswith("on")} and not {"src", "href"} & names
    assert "url(" not in text and "http" not in text.replace("http-equiv", "")
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in seen.attributes


def test_every_figure_of_a_chart_stands_in_a_table_too() -> None:
    found = of("plain")
    words = Page(page(found)).words
    for totals in found.days.values():
        assert figures.usd(totals.spend) in words


@given(some.text(max_size=40))
def test_any_name_is_one_line_of_text(name: str) -> None:
    assert clean(name).isprintable()


def test_a_spreadsheet_obeys_no_cell() -> None:
    found = usage(ledger.answer(), ledger.TENANT, ledger.NOW)
    assert found is not None
    rows = list(csv.reader(io.StringIO(output.entries_csv(found.team, found.entries, found.key_names))))
    assert any("ci-pipeline" in cell for row in rows for cell in row)
    assert not [cell for row in rows for cell in row if cell.startswith(output.FORMULA)]
    spend = rows[0].index("spend_usd")
    assert sum((Decimal(row[spend]) for row in rows[1:]), Decimal(0)) == found.month.totals.spend


@pytest.mark.parametrize("limits", [(60.0, 1200.0), (None, None), (0.5, 1.0), (10**6, 10**7)])
def test_charts_stay_inside_their_frame(limits: tuple[float | None, float | None]) -> None:
    day, whole = limits
    changed = {"daily_limit": day, "monthly_limit": whole}
    for entries in (ledger.entries(), []):
        found = of("plain", teams=[ledger.team(changed)], entries=entries)
        for chart in (daily(found), cumulative(found)):
            heights = [*(mark.at for mark in chart.ticks), *(bar.y for bar in chart.bars)]
            heights += [float(point.split(",")[1]) for point in f"{chart.points} {chart.ahead}".split()]
            heights += [mark.at for mark in (chart.limit, chart.end) if mark]
            assert all(0 <= height <= chart.ground for height in heights)
            assert all(chart.left <= bar.x and bar.x + bar.width <= chart.right for bar in chart.bars)


@pytest.mark.parametrize(
    ("amount", "shown"), [("0", "$0.00"), ("0.00004", "<$0.0001"), ("0.0315", "$0.0315"), ("1234.5", "$1,234.50")]
)
def test_money(amount: str, shown: str) -> None:
    assert figures.usd(Decimal(amount)) == shown


def test_money_stays_exact_from_the_answer_on() -> None:
    assert loads('{"spend": 0.1}')["spend"] + loads("0.2") == Decimal("0.3")


def test_without_a_deployment_it_says_what_to_do(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TollgateError, match="make deploy"):
        reading.everybody(Compose.core(Site.here(tmp_path), "tollgate-none"))


def test_a_value_is_one_argument_of_psql() -> None:
    argv = reading.psql({"tenant": "x' \"; \\! ls\n\0"})
    assert argv[-2:] == ["-v", "tenant=x' \"; \\! ls\n?"]


def test_room() -> None:
    shown = [room(size) for size in (2**13, 3 * 2**19, 2**30, 5 * 2**40)]
    assert shown == ["8 KiB", "1.5 MiB", "1.0 GiB", "5.0 TiB"]

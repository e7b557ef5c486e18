"""A month as one HTML file, without scripts and external files. Every text from people is escaped."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from tollgate.ledger import charts, figures
from tollgate.ledger.month import Month


def page(month: Month) -> str:
    environment = Environment(
        loader=PackageLoader("tollgate.ledger"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "usd": figures.usd,
        "limit": figures.limit,
        "percent": figures.percent,
        "count": figures.count,
        "moment": figures.moment,
        "status_words": figures.status_words,
    }
    template = environment.get_template("report.html.j2")
    return template.render(month=month, daily=charts.daily(month), cumulative=charts.cumulative(month))

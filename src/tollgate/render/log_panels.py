"""The panels of the logs. `$service` is the variable."""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.render.panels import Panel, Query, logs, series

BAD = 'detected_level=~"error|critical|fatal"'


def log_panels() -> Sequence[Panel]:
    lines = 'sum by (service_name) (count_over_time({service_name=~"$service"}'
    return (
        series(
            "Lines",
            "Log lines by container, without health checks.",
            [Query(f"{lines} [$__auto]))", "{{service_name}}")],
            unit="none",
            width=8,
            stacked=True,
            datasource="loki",
        ),
        series(
            "Errors",
            "Log lines of level error and above, by container.",
            [Query(f"{lines} | {BAD} [$__auto]))", "{{service_name}}")],
            unit="none",
            width=8,
            stacked=True,
            datasource="loki",
        ),
        series(
            "Lines that Alloy dropped",
            "Lines a second that Loki does not have, by reason. healthcheck and not counted are intended.",
            [
                Query("sum by (reason) (rate(loki_process_dropped_lines_total[$__rate_interval]))", "{{reason}}"),
                Query("sum by (reason) (rate(loki_write_dropped_entries_total[$__rate_interval]))", "Loki: {{reason}}"),
            ],
            unit="ops",
            width=8,
        ),
        logs(
            "Errors in logs",
            "Log lines of level error and above, without credentials.",
            [Query(f'{{service_name=~"$service"}} | {BAD}')],
            height=12,
        ),
        logs(
            "What nginx answered with 5xx",
            "One line for each request. Its link shows all lines of the same request.",
            [Query('{service_name="nginx",status_class="5xx"}')],
            width=12,
            height=10,
        ),
        logs(
            "Postgres",
            "Errors and warnings of Postgres: statements that it refuses, a WAL that it cannot archive.",
            [Query('{service_name="postgres"} |~ "ERROR|FATAL|PANIC|WARNING"')],
            width=12,
            height=10,
        ),
    )

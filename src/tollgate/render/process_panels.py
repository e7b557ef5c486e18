"""The panels of replicas and gateways, and of the services they need: journal, Redis, Postgres, nginx, the host."""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.render.direct_panels import direct_now, running
from tollgate.render.expressions import LITELLM_REQUESTS
from tollgate.render.overview_panels import DISK_USED
from tollgate.render.panels import Panel, Query, series

OURS = 'job=~"gateway|litellm"'


def process_panels() -> Sequence[Panel]:
    return (*direct_now(), *_processes(), *_journal(), *_redis(), *_postgres(), *_host())


def _processes() -> Sequence[Panel]:
    lag = "sum by (gateway, le) (rate(tollgate_gateway_event_loop_lag_seconds_bucket[$__rate_interval]))"
    return (
        series(
            "Event loop, how late",
            "99 % of the timers of a gateway process ran less late than this. A slow step delays all its requests.",
            [Query(f"histogram_quantile(0.99, {lag})", "{{gateway}}")],
            unit="s",
            width=8,
        ),
        series(
            "Memory",
            "Resident memory of gateway processes and replicas.",
            [Query(f"sum by (instance) (process_resident_memory_bytes{{{OURS}}})", "{{instance}}")],
            unit="bytes",
            width=8,
        ),
        series(
            "Processor",
            "Processor cores in use. A gateway process and a replica use at most one each.",
            [Query(f"sum by (instance) (rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval]))", "{{instance}}")],
            unit="none",
            width=8,
        ),
        running(),
        series(
            "LiteLLM: requests by replica",
            "Requests for models a second by replica. nginx should keep them close to each other.",
            [Query(f"sum by (replica) ({LITELLM_REQUESTS})", "{{replica}}")],
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "LiteLLM: requests by status",
            "Requests for models a second by status, as LiteLLM counts them. None: a failure without a status.",
            [Query(f"sum by (status_code) ({LITELLM_REQUESTS})", "{{status_code}}")],
            unit="reqps",
            width=8,
            stacked=True,
        ),
    )


def _journal() -> Sequence[Panel]:
    shipped = "tollgate_gateway_journal_shipped_calls_total"
    return (
        series(
            "Journal: calls that wait",
            "Answered calls that are not in Postgres yet, by process.",
            [Query("sum by (gateway) (tollgate_gateway_journal_waiting_calls)", "{{gateway}}")],
            unit="none",
            width=8,
        ),
        series(
            "Journal: calls brought to Postgres",
            "Calls a second that were booked, by process.",
            [
                Query(f"sum by (gateway) (rate({shipped}[$__rate_interval]))", "{{gateway}}"),
            ],
            unit="cps",
            width=8,
            stacked=True,
        ),
        series(
            "Journal: failures",
            "Failed tries to book and failed writes to the disk, a second.",
            [
                Query("sum(rate(tollgate_gateway_journal_ship_failures_total[$__rate_interval]))", "not booked"),
                Query("sum(rate(tollgate_gateway_journal_sync_failures_total[$__rate_interval]))", "not on the disk"),
            ],
            unit="ops",
            width=8,
        ),
    )


def _redis() -> Sequence[Panel]:
    return (
        series(
            "Redis: memory",
            "Memory in use, and the limit. When it is full, requests that cost money are refused.",
            [Query("redis_memory_used_bytes", "used"), Query("redis_memory_max_bytes > 0", "limit")],
            unit="bytes",
            width=8,
        ),
        series(
            "Redis: commands",
            "Commands a second that Redis ran for all processes.",
            [Query("rate(redis_commands_processed_total[$__rate_interval])", "commands")],
            unit="ops",
            width=8,
        ),
        series(
            "Redis: lost or refused",
            "Keys a second that were removed because memory was full, connections that were refused, and requests of "
            "gateway processes for which there was no memory. All are 0 while it is well.",
            [
                Query("rate(redis_evicted_keys_total[$__rate_interval])", "removed keys"),
                Query("rate(redis_rejected_connections_total[$__rate_interval])", "refused connections"),
                Query("sum(rate(tollgate_gateway_redis_full_total[$__rate_interval]))", "no memory for a request"),
            ],
            unit="ops",
            width=8,
        ),
    )


def _postgres() -> Sequence[Panel]:
    ours = 'datname="litellm"'
    return (
        series(
            "Postgres: connections",
            "Open connections, and how many Postgres allows.",
            [
                Query("sum(pg_stat_database_numbackends)", "open"),
                Query("max(pg_settings_max_connections)", "limit"),
            ],
            unit="none",
            width=8,
        ),
        series(
            "Postgres: transactions",
            "Transactions a second. Many that are rolled back: Postgres refuses what a writer tries again and again.",
            [
                Query(f"rate(pg_stat_database_xact_commit{{{ours}}}[$__rate_interval])", "committed"),
                Query(f"rate(pg_stat_database_xact_rollback{{{ours}}}[$__rate_interval])", "rolled back"),
            ],
            unit="ops",
            width=8,
        ),
        series(
            "Postgres: size",
            "The database, and the WAL beside it.",
            [Query(f"pg_database_size_bytes{{{ours}}}", "database"), Query("pg_wal_size_bytes", "WAL")],
            unit="bytes",
            width=8,
        ),
    )


def _host() -> Sequence[Panel]:
    return (
        series(
            "Host: processor and memory",
            "Used share of all cores, and of the memory.",
            [
                Query('1 - avg(rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))', "processor"),
                Query("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "memory"),
            ],
            unit="percentunit",
            width=8,
        ),
        series(
            "Host: disks",
            "Used share of each disk, as df has it.",
            [Query(DISK_USED, "{{device}}")],
            unit="percentunit",
            width=8,
        ),
        series(
            "nginx: connections",
            "Open connections of clients. writing: an answer is being sent.",
            [Query("nginx_connections_active", "open"), Query("nginx_connections_writing", "writing")],
            unit="none",
            width=8,
        ),
    )

"""The panels of what must happen on the host: the certificate and the backups, a part of the overview."""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.render.panels import Panel, now_only, stat

DAY = 86400
# As the alerts BackupTooOld and BaseBackupTooOld: a night was missed.
_AGES = ((None, "green"), (30 * 3600, "orange"), (36 * 3600, "red"))


def host() -> Sequence[Panel]:
    """No data: there is no certificate, or no backup has been made yet."""

    def age(metric: str, of: str) -> Panel:
        query = now_only(f"time() - max({metric})", "age")
        return stat(f"Age of the last {of}", f"Time since the last good {of}.", [query], unit="s", steps=_AGES, width=8)

    return (
        stat(
            "The certificate ends in",
            "Time until the certificate of the TLS listener ends. No data: TLS is off.",
            [now_only("min(tollgate_certificate_expiry_timestamp_seconds) - time()", "left")],
            unit="s",
            steps=((None, "red"), (3 * DAY, "orange"), (14 * DAY, "green")),
            width=8,
        ),
        age("tollgate_backup_last_success_timestamp_seconds", "backup"),
        age("tollgate_base_backup_last_success_timestamp_seconds", "base backup"),
    )

"""Part two: image → backup → .env and record → deploy, which migrates and replaces the replicas one after another.

The gateway serves the old release until the rollout. A failure before the migration restores .env and the rendered
files. A failure in the rollout leaves the remaining replicas on the old release and says what to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tollgate.errors import InputError, TollgateError
from tollgate.stack.backup import metric
from tollgate.stack.backup.make import make, running_postgres
from tollgate.stack.configuration import change_env
from tollgate.stack.deploy.steps import Deploy
from tollgate.stack.host.progress import Display
from tollgate.stack.images.litellm import SETTING
from tollgate.stack.images.resolve import Images
from tollgate.stack.upgrade import record
from tollgate.stack.upgrade.check import LITELLM, ReleaseChange, kept_secrets, shown
from tollgate.stack.upgrade.record import Record


@dataclass
class ReleaseSwitch:
    """One change of release. Needs the deployment's lock. `seconds` has the duration of each step."""

    change: ReleaseChange
    display: Display
    allow_engine_install: bool = True
    backup: str = field(default="", init=False)
    changes: list[str] = field(default_factory=list, init=False)
    seconds: dict[str, float] = field(default_factory=dict, init=False)

    def run(self) -> None:
        change = self.change
        if change.unfinished:
            self._continue()
            return
        self._provide_image()
        if change.back:
            self._switch()
            record.forget(change.site)
            return
        self._back_up()
        record.write(change.site, Record(change.current, change.target, self.backup))
        self._switch()
        record.write(change.site, Record(change.current, change.target, self.backup, finished=True))

    def _provide_image(self) -> None:
        with self._step("image") as done:
            settings, target = self.change.deployment.settings, self.change.target
            resolved = Images(settings, self.change.site, self.display, target).provide({LITELLM})
            done.append(resolved.images[LITELLM])

    def _back_up(self) -> None:
        site = self.change.site
        with self._step("backup") as done:
            backup = make(
                site, running_postgres(self.change.deployment.compose), kept_secrets(self.change), self.display
            )
            metric.tell(site, backup.archive)
            self.backup = str(backup.archive.file)
            done.append(shown(self.backup))

    def _switch(self) -> None:
        """Set the release in .env and deploy it. Restore .env after a failure before the migration."""
        change_env(self.change.site, SETTING, self.change.target)
        deploy = self._deploy()
        try:
            deploy.run()
        except BaseException as error:
            migrated = "schema" in deploy.timings
            if not migrated:
                self._put_back()
            if isinstance(error, TollgateError):
                raise self._add_recovery_hint(error, migrated=migrated) from None
            raise
        self._add_results(deploy)

    def _continue(self) -> None:
        deploy = self._deploy()
        deploy.run()
        self._add_results(deploy)
        last = record.read(self.change.site)
        if last is not None:
            record.write(self.change.site, Record(last.before, last.target, last.backup, last.at, finished=True))

    def _put_back(self) -> None:
        change_env(self.change.site, SETTING, self.change.current)
        self._deploy().run(until="rendering")
        if not self.change.back:
            record.forget(self.change.site)

    def _add_recovery_hint(self, error: TollgateError, *, migrated: bool) -> TollgateError:
        change = self.change
        if isinstance(error, InputError):
            return error  # it names the line to correct, and the deploy changed nothing
        if not migrated:
            more = f"Nothing was replaced: every replica serves {change.current}, and .env has this release again"
        elif change.back:
            more = f"Correct this; then `make deploy` continues with {change.target}"
        elif change.can_return:
            more = f"`make rollback` returns to {change.current}; `make deploy` continues with {change.target}"
        else:
            more = f"`make deploy` continues with {change.target}; the backup is {shown(self.backup)}"
        hint = f"{error.hint.rstrip('.')}. {more}".removeprefix(". ")
        return error.with_hint(hint)

    def _deploy(self) -> Deploy:
        return Deploy(self.change.site, self.display, allow_engine_install=self.allow_engine_install)

    def _add_results(self, deploy: Deploy) -> None:
        self.changes += deploy.changes
        self.seconds |= deploy.timings

    @contextmanager
    def _step(self, title: str) -> Iterator[list[str]]:
        began, result = time.monotonic(), list[str]()
        with self.display.step(title):
            yield result
        self.seconds[title] = time.monotonic() - began
        self.display.done(title, self.seconds[title], ", ".join(result))

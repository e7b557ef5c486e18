"""Part two: image → backup → .env and record → deploy, which migrates and rolls the replicas one after another.

Nothing serves differently until the roll. A failure before it puts .env and what was rendered back; in the roll it
leaves the replicas that were not reached on the release before, and says what to type.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tollgate.errors import InputError, StepError, TollgateError
from tollgate.stack.backup import metric
from tollgate.stack.backup.make import make, running_postgres
from tollgate.stack.configuration import change_env
from tollgate.stack.deploy import Deploy, Display
from tollgate.stack.images import resolve
from tollgate.stack.litellm_versions import SETTING
from tollgate.stack.upgrade import record
from tollgate.stack.upgrade.check import LITELLM, Change, kept_secrets, shown
from tollgate.stack.upgrade.record import Record


@dataclass
class Run:
    """One change of release; needs the deployment's lock. `seconds` says how long each step took."""

    change: Change
    display: Display
    allow_engine_install: bool = True
    backup: str = field(default="", init=False)
    changes: list[str] = field(default_factory=list, init=False)
    seconds: dict[str, float] = field(default_factory=dict, init=False)

    def run(self) -> None:
        change = self.change
        if change.unfinished:
            self._go_on()
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
            settings = self.change.configuration.settings
            found = resolve(
                settings.image_source,
                self.change.site,
                self.display,
                ca_bundle=settings.ca_bundle,
                mirror=settings.debian_mirror or "",
                only={LITELLM},
                litellm=self.change.target,
            )
            done.append(found.images[LITELLM])

    def _back_up(self) -> None:
        site = self.change.site
        with self._step("backup") as done:
            made = make(site, running_postgres(self.change.compose), kept_secrets(self.change), self.display)
            metric.tell(site, made.archive)
            self.backup = str(made.archive.file)
            done.append(shown(self.backup))

    def _switch(self) -> None:
        """Name the release in .env and deploy it; put the name back where nothing was migrated or replaced yet."""
        change_env(self.change.site, SETTING, self.change.target)
        deploy = self._deploy()
        try:
            deploy.run()
        except BaseException as error:
            migrated = "schema" in deploy.timings
            if not migrated:
                self._put_back()
            if isinstance(error, TollgateError):
                raise self._with_the_way_out(error, migrated=migrated) from None
            raise
        self._took(deploy)

    def _go_on(self) -> None:
        deploy = self._deploy()
        deploy.run()
        self._took(deploy)
        last = record.read(self.change.site)
        if last is not None:
            record.write(self.change.site, Record(last.before, last.target, last.backup, last.at, finished=True))

    def _put_back(self) -> None:
        change_env(self.change.site, SETTING, self.change.current)
        self._deploy().run(until="rendering")
        if not self.change.back:
            record.forget(self.change.site)

    def _with_the_way_out(self, error: TollgateError, *, migrated: bool) -> TollgateError:
        change = self.change
        if isinstance(error, InputError):
            return error  # it names the line to mend, and nothing began
        if not migrated:
            more = f"Nothing was replaced: every replica serves {change.current}, and .env says so"
        elif change.back:
            more = f"When that is mended, `make deploy` goes on with {change.target}"
        elif change.can_return:
            more = f"`make rollback` returns to {change.current}; `make deploy` goes on with {change.target}"
        else:
            more = f"`make deploy` goes on with {change.target}; the backup is {shown(self.backup)}"
        hint = f"{error.hint.rstrip('.')}. {more}".removeprefix(". ")
        if isinstance(error, StepError):
            return StepError(error.step, error.message.removeprefix(f"{error.step}: "), hint, error.log)
        return TollgateError(error.message, hint)

    def _deploy(self) -> Deploy:
        return Deploy(self.change.site, self.display, allow_engine_install=self.allow_engine_install)

    def _took(self, deploy: Deploy) -> None:
        self.changes += deploy.changes
        self.seconds |= deploy.timings

    @contextmanager
    def _step(self, title: str) -> Iterator[list[str]]:
        began, result = time.monotonic(), list[str]()
        with self.display.step(title):
            yield result
        self.seconds[title] = time.monotonic() - began
        self.display.done(title, self.seconds[title], ", ".join(result))

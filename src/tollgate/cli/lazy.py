"""Groups of commands that import a command's module when the command runs.

To import all commands takes half a second of processor time; one command needs a part of it. `tollgate --help` still
imports them all, because it prints a line for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

# For `tollgate compose`, which passes its arguments on.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def lazily(places: Mapping[str, str], *, passing_on: str = "") -> type[TyperGroup]:
    """A class for `typer.Typer(cls=…)`: the name of each command, and where its function or its group stands.

    A place is `module:attribute`. `passing_on` is the name of the command that takes options of another program.
    """

    class Lazy(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = _Commands(places, passing_on)

    return Lazy


class _Commands(MutableMapping[str, Any]):
    """The commands of a group by name, each imported when somebody asks for it."""

    def __init__(self, places: Mapping[str, str], passing_on: str) -> None:
        self._places = dict(places)
        self._passing_on = passing_on
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            settings = PASS_ON if name == self._passing_on else None
            self._made[name] = _command(name, self._places[name], settings)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._places.setdefault(name, "")
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _command(name: str, place: str, settings: dict[str, Any] | None) -> Any:
    module, _, attribute = place.partition(":")
    defined = getattr(import_module(module), attribute)
    if isinstance(defined, typer.Typer):
        return typer.main.get_group(defined)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command(name, context_settings=settings)(defined)
    return typer.main.get_command(alone)

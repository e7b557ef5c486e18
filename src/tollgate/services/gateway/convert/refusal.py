"""Why a Messages request was not converted, as one exception with a fixed word, a field and a sentence."""

from __future__ import annotations

from typing import Any, Literal, TypeGuard

Json = dict[str, Any]

Reason = Literal[
    "malformed",
    "unpaired_tool",
    "server_tool",
    "provider_feature",
    "image",
    "document",
    "uploaded_file",
    "unknown_field",
    "unknown_block",
    "unknown_value",
    "too_deep",
]
FIELD_LETTERS = 100


class CannotConvertError(Exception):
    """A request that `request.to_chat` does not convert.

    `reason` is one of the words above and may be a metric label. `field` is a path such as `messages.3.content.1`.
    `sentence` is for the client. `final`: answer 400 with `sentence`; otherwise hand the request to LiteLLM.
    """

    def __init__(self, reason: Reason, field: str, sentence: str, *, final: bool = True) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.field = field
        self.sentence = sentence
        self.final = final


def malformed(field: str, expected: str) -> CannotConvertError:
    return CannotConvertError("malformed", field, f"{field}: expected {expected}")


def as_text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise malformed(field, "text")
    return value


def as_object(value: Any, field: str) -> Json:
    if not isinstance(value, dict):
        raise malformed(field, "an object")
    return value


def as_list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise malformed(field, "a list")
    return value


def as_name(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value:
        raise malformed(field, "text that is not empty")
    return value


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def shown(word: str) -> str:
    """A client's word in a sentence: short, and printable."""
    return "".join(letter for letter in word[:FIELD_LETTERS] if letter.isprintable())

"""The base of everything that the gateway answers and that a program sends: fields by name, unknown ones kept."""

from __future__ import annotations

from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from tollgate_client.server_tools import Offered

P = TypeVar("P", bound="Part")
_LENIENT = {"lenient": True}
# Without these there is no answer, so a wrong one is an error. Every other field is about the answer.
_THE_ANSWER = frozenset(
    [
        *("choices", "message", "delta", "content", "text", "type", "data", "embedding"),
        *("tool_calls", "function", "name", "arguments", "input"),
    ]
)
# The gateway's ledger believes no larger count of tokens.
_MOST_TOKENS = 200_000_000


def as_stated(number: object) -> int | None:
    """A whole number of 0 and more, also as 12.0, which some servers write; None for everything else."""
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= _MOST_TOKENS:
        return None
    return int(number) if int(number) == number else None


def as_count(number: object) -> int:
    return as_stated(number) or 0


# A number of tokens in an answer that is paid already. A wrong one counts as 0, so that the answer is not lost.
Count = Annotated[int, BeforeValidator(as_count)]
# One whose parts are stated too: a wrong one counts as absent.
Stated = Annotated[int | None, BeforeValidator(as_stated)]


class Part(BaseModel):
    """A JSON object. Fields that this version does not know are kept and are sent back as they came.

    `part["name"]` and `part.get("name")` work as with a dictionary. A field that is null counts as absent.
    """

    model_config = ConfigDict(extra="allow", defer_build=True, populate_by_name=True)

    @model_validator(mode="wrap")
    @classmethod
    def _as_it_comes(cls, content: Any, build: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        if isinstance(content, dict) and any(value is None for value in content.values()):
            content = {name: value for name, value in content.items() if value is not None}
        try:
            return build(content)
        except ValidationError as error:
            wrong = {problem["loc"][0] for problem in error.errors(include_url=False) if problem["loc"]}
            if info.context is not _LENIENT or not isinstance(content, dict) or not wrong or wrong & _THE_ANSWER:
                raise
        return build({name: value for name, value in content.items() if name not in wrong})

    def __getitem__(self, name: str) -> Any:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def get(self, name: str, default: Any = None) -> Any:
        """The field's value, or `default` where it is absent or null."""
        declared = name in type(self).model_fields
        value = getattr(self, name, None) if declared else (self.model_extra or {}).get(name)
        return default if value is None else value

    def plain(self) -> dict[str, Any]:
        """The object as JSON values, without fields that are null."""
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)


class Answer(Part):
    """A whole answer. `request_id` is the gateway's id of the call, which its operator finds in the logs.

    `asked_model` is the name that you asked for. `priced_model` has the price: it is another one if a fallback of the
    gateway answered. `model` of an answer can be the provider's name.
    """

    _request_id: str = PrivateAttr(default="")
    _asked_model: str = PrivateAttr(default="")
    _answered_by: str = PrivateAttr(default="")
    _offered_tools: Offered | None = PrivateAttr(default=None)

    @property
    def request_id(self) -> str:
        return self._request_id

    @property
    def asked_model(self) -> str:
        return self._asked_model

    @property
    def priced_model(self) -> str:
        return self._answered_by or self._asked_model

    @property
    def offered_tools(self) -> Offered | None:
        """The tools of the request that the provider runs, and how often each may run; None if that is not known."""
        return self._offered_tools

    @property
    def called_tools(self) -> list[str]:
        """The name of each call of such a tool that the answer shows."""
        return []

    def came_with(
        self, request_id: str, asked_model: str = "", answered_by: str = "", offered_tools: Offered | None = None
    ) -> None:
        """For the code that made this object from an answer."""
        self._request_id, self._asked_model, self._answered_by = request_id, asked_model, answered_by
        self._offered_tools = offered_tools


def leniently(kind: type[P], content: object) -> P:
    """`content` as an object of `kind`, for what is paid already: a wrong field about the answer counts as absent."""
    return kind.model_validate(content, context=_LENIENT)


def leniently_from_json(kind: type[P], text: bytes) -> P:
    return kind.model_validate_json(text, context=_LENIENT)

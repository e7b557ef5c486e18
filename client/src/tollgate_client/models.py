"""Chat completions and embeddings: messages, tools, answers, chunks. Unknown fields are kept."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_core import from_json

from tollgate_client.part import Answer, Count, Part, as_count
from tollgate_client.prices import Tokens

_IMAGE_TYPES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}


class ImageUrl(Part):
    """`url` is an https address or a data URL."""

    url: str
    detail: str | None = None


class ContentPart(Part):
    """One part of a message: text, or an image."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None

    @classmethod
    def of_text(cls, text: str) -> ContentPart:
        return cls(type="text", text=text)

    @classmethod
    def of_image(cls, image: str | bytes | Path) -> ContentPart:
        """An address (https:// or data:), a file, or the bytes of a PNG, JPEG, GIF or WebP."""
        if isinstance(image, str):
            return cls(type="image_url", image_url=ImageUrl(url=image))
        content = image.read_bytes() if isinstance(image, Path) else image
        kind = next((kind for begin, kind in _IMAGE_TYPES.items() if content.startswith(begin)), "")
        if not kind:
            raise ValueError("expected the bytes of a PNG, JPEG, GIF or WebP image")
        url = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        return cls(type="image_url", image_url=ImageUrl(url=url))


class FunctionCall(Part):
    """`arguments` is JSON text, written by a model: check it before you use it."""

    name: str = ""
    arguments: str = ""

    def parsed(self) -> dict[str, Any]:
        """The arguments; ValueError if the model did not write a JSON object."""
        arguments = from_json(self.arguments or "{}")
        if not isinstance(arguments, dict):
            raise ValueError(f"expected an object as arguments of {self.name}, found {type(arguments).__name__}")
        return arguments


class ToolCall(Part):
    """In a chunk of a stream only the first piece of a call has `id` and a name; `index` joins them."""

    id: str | None = None
    type: str | None = None
    index: int | None = None
    function: FunctionCall = Field(default_factory=FunctionCall)


class ChatMessage(Part):
    """`role` is system, developer, user, assistant or tool; a tool's result has `tool_call_id`."""

    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The text of all parts."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text or "" for part in self.content or ())


class FunctionDescription(Part):
    """`parameters` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class Tool(Part):
    """A function that a model may call."""

    function: FunctionDescription
    type: str = "function"

    @classmethod
    def of(cls, name: str, parameters: Mapping[str, Any], description: str | None = None) -> Tool:
        return cls(function=FunctionDescription(name=name, description=description, parameters=dict(parameters)))


class AnswerMessage(ChatMessage):
    """The model's message. You can append it to the messages of the next request."""

    role: str = "assistant"
    refusal: str | None = None


class PromptDetails(Part):
    cached_tokens: Count | None = None


class Usage(Part):
    """Tokens, and uses of tools that the provider ran. `prompt_tokens` contains what the cache read and wrote."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    prompt_tokens_details: PromptDetails | None = None
    server_tool_use: dict[str, Any] | None = None

    def tokens(self) -> Tokens:
        """The tokens by kind of price, as the gateway's ledger reads them under the names that servers use.

        More from the cache than there was in the prompt is absurd: the gateway then books the whole prompt as not
        cached, and so does this.
        """
        details = self.prompt_tokens_details or self._details("input_tokens_details")
        prompt = _first(self._said("prompt_tokens"), self.get("input_tokens"))
        read = _first(
            details.get("cached_tokens"),
            self.get("prompt_cache_hit_tokens"),
            self.get("cached_tokens"),
            self.get("cache_read_input_tokens"),
        )
        written = _first(
            details.get("cache_write_tokens"),
            details.get("cache_creation_tokens"),
            self.get("cache_creation_input_tokens"),
        )
        by_age = details.get("cache_creation_token_details")
        hour = _first(by_age.get("ephemeral_1h_input_tokens")) if isinstance(by_age, Mapping) else 0
        if read + written > prompt:
            read = written = 0
        return Tokens.of_prompt(prompt, self._output(prompt), read, written, min(hour, written))

    def _output(self, prompt: int) -> int:
        output = _first(self._said("completion_tokens"), self.get("output_tokens"))
        details = self._details("completion_tokens_details", "output_tokens_details")
        reasoning = _first(details.get("reasoning_tokens"))
        # Some providers count reasoning beside the other tokens of the answer.
        beside = reasoning > 0 and self.total_tokens == prompt + output + reasoning
        return as_count(output + reasoning) if beside else output

    def _said(self, name: str) -> Any:
        """A count that the server stated, also a wrong one; None without one."""
        return self.get(name) if name in self.model_fields_set else None

    def _details(self, *names: str) -> Mapping[str, Any]:
        return next((value for value in map(self.get, names) if isinstance(value, Mapping)), {})


class Choice(Part):
    index: int = 0
    message: AnswerMessage = Field(default_factory=AnswerMessage)
    finish_reason: str | None = None


class ChatCompletion(Answer):
    """The answer to a chat request."""

    id: str = ""
    model: str = ""
    created: int | None = None
    choices: list[Choice]
    usage: Usage | None = None

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return self.choices[0].message.text if self.choices else ""


class Delta(Part):
    role: str | None = None
    content: str | None = None
    tool_calls: list[ToolCall] | None = None


class ChunkChoice(Part):
    index: int = 0
    delta: Delta = Field(default_factory=Delta)
    finish_reason: str | None = None


class ChatChunk(Part):
    """One piece of a streamed answer. The last one has `usage`, and mostly no choices."""

    id: str = ""
    model: str = ""
    choices: list[ChunkChoice] = Field(default_factory=list)
    usage: Usage | None = None

    @property
    def text(self) -> str:
        return "".join(choice.delta.content or "" for choice in self.choices)


class Embedding(Part):
    """`embedding` is a list of numbers, or base64 text if you asked for that."""

    index: int = 0
    embedding: list[float] | str


class Embeddings(Answer):
    model: str = ""
    data: list[Embedding]
    usage: Usage | None = None


def _first(*values: object) -> int:
    """The first count among names that servers use for the same thing; 0 without one."""
    return as_count(next((value for value in values if value is not None), 0))

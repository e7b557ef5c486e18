"""The provider: the gateway's routes, models and prices for a program."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, Self, TypeVar

from tollgate_client import fetch, routes
from tollgate_client import server_tools as tools
from tollgate_client._async.connection import Connection
from tollgate_client._async.stream import Stream
from tollgate_client.availability import Availability, Note
from tollgate_client.call import Call, answer
from tollgate_client.catalogue import Catalogue
from tollgate_client.errors import ConfigurationError, TollgateError
from tollgate_client.messages import CountedTokens, Message, MessageEvent
from tollgate_client.model_info import CustomModel, ModelEntry, ModelInfo, ModelList
from tollgate_client.models import ChatChunk, ChatCompletion, Embeddings
from tollgate_client.part import Answer
from tollgate_client.prices import Tokens
from tollgate_client.routes import Messages, Tools
from tollgate_client.settings import Settings
from tollgate_client.tenant_usage import TenantUsage
from tollgate_client.usage_of import of_chunk, of_event

_log = logging.getLogger("tollgate_client")
A = TypeVar("A", bound=Answer)
P = TypeVar("P", ChatCompletion, Message, Embeddings)


class LiteLLMProvider:
    """One gateway with one key, over one pool of connections. Use it in one event loop at a time, and close it.

    `base_url` and `api_key` come from LITELLM_BASE_URL and LITELLM_API_KEY where they are None. Without an address the
    provider has custom models only. `timeout` is in seconds: for a whole answer, and for each silence of a stream.
    `models_ttl` is how many seconds a list of models serves. Every method that asks the gateway raises the errors of
    tollgate_client.errors.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        custom_models: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        timeout: float = 600.0,
        max_retries: int = 2,
        models_ttl: float = 300.0,
    ) -> None:
        self._settings = Settings.of(base_url, api_key, timeout, max_retries, models_ttl)
        self._connection = Connection(self._settings)
        self._catalogue = Catalogue(custom_models or {}, models_ttl, online=self._settings.online)
        self.availability = Availability()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._settings.base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the pool. The provider opens another one if it is used again."""
        await self._connection.aclose()

    # ---- answers

    async def chat_completion(
        self,
        messages: Messages,
        model: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        **kwargs: Any,
    ) -> ChatCompletion:
        """One whole answer. `kwargs` are fields of the chat API: tools, response_format, seed and so on."""
        call = routes.chat(messages, model, False, {**kwargs, "max_tokens": max_tokens, "temperature": temperature})
        return await self.ask(ChatCompletion, call, model)

    def stream_chat_completion(
        self,
        messages: Messages,
        model: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        **kwargs: Any,
    ) -> Stream[ChatChunk]:
        """The answer in chunks, as they come; the last one has `usage`."""
        call = routes.chat(messages, model, True, {**kwargs, "max_tokens": max_tokens, "temperature": temperature})
        return Stream(self._connection, call, ChatChunk, of_chunk, Note(self.availability, model))

    async def messages_create(self, messages: Messages, model: str, max_tokens: int, **kwargs: Any) -> Message:
        """One whole answer of Anthropic's Messages API. `kwargs` are its fields: system, tools, thinking and so on."""
        call = routes.message(messages, model, max_tokens, False, kwargs)
        return await self.ask(Message, call, model)

    def messages_stream(self, messages: Messages, model: str, max_tokens: int, **kwargs: Any) -> Stream[MessageEvent]:
        """The same as events, as they come."""
        call = routes.message(messages, model, max_tokens, True, kwargs)
        return Stream(self._connection, call, MessageEvent, of_event, Note(self.availability, model))

    async def embeddings(self, texts: str | Sequence[str], model: str, **kwargs: Any) -> Embeddings:
        """A vector for each text. `kwargs` are fields of the API: dimensions, encoding_format."""
        return await self.ask(Embeddings, routes.embeddings(texts, model, **kwargs), model)

    async def count_tokens(self, messages: Messages, model: str, tools: Tools | None = None, **kwargs: Any) -> int:
        """The tokens of a prompt, as the gateway counts them for `model`. It costs nothing."""
        counted = await self._whole(CountedTokens, routes.count(messages, model, tools, **kwargs))
        return counted.input_tokens

    # ---- the gateway

    async def usage(self) -> TenantUsage:
        """The spending and limits of your tenant, and when they open again. Routers leave out what is exhausted."""
        usage = await self._whole(TenantUsage, routes.USAGE)
        self.availability.told(usage)
        return usage

    async def health_check(self) -> bool:
        """Whether the gateway has a replica that answers, and takes the key. It never raises for a failure of these.

        The log of `tollgate_client` says why it is False.
        """
        try:
            await self._connection.whole(routes.HEALTH)
            await self._fetch_models()
        except ConfigurationError:
            raise
        except TollgateError as error:
            _log.warning("health check of %s: %s", self._settings.base_url, error)
            self.availability.healthy(False)
            return False
        self.availability.healthy(True)
        return True

    # ---- models and prices

    async def get_available_models(self) -> list[ModelEntry]:
        """The entries of the gateway's list for your key, asked for now. custom_models are not among them."""
        return await self._fetch_models()

    async def refresh_models(self) -> None:
        """Fetch the list of models if it is older than `models_ttl`. The synchronous methods then need no request."""
        if not self._catalogue.stale:
            return
        began = self._catalogue.now
        async with self._connection.turn():
            if not self._catalogue.wanted(began):
                return
            try:
                await self._fetch_models()
            except TollgateError as error:
                self._catalogue.not_listed(error)

    def get_supported_models(self) -> list[str]:
        """The names of the gateway's models for your key and of custom_models, sorted.

        This and the methods below are synchronous. If the list is older than `models_ttl`, they fetch it in one request
        that blocks; `await refresh_models()` before avoids that.
        """
        return self._known().names()

    def get_model_info(self, model: str) -> ModelInfo:
        """UnknownModelError if neither the gateway nor custom_models have it."""
        return self._known().get(model)

    def known_models(self) -> list[ModelInfo]:
        """Each model with all that is known of it now, sorted by name. It never asks the gateway."""
        return self._catalogue.all()

    def add_custom_model(
        self,
        model_name: str,
        pricing: Mapping[str, object] | None = None,
        rate_limits: Mapping[str, object] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a model, or override the gateway's. tollgate_client.prices says in which units `pricing` can be."""
        self._catalogue.add(CustomModel.of(model_name, pricing, rate_limits, metadata))

    def calculate_cost(
        self,
        prompt_tokens: int,
        completion_tokens: int,
        model: str,
        *,
        cached_tokens: int = 0,
        cache_write_tokens: int = 0,
        cache_write_1h_tokens: int = 0,
        server_tools: Mapping[str, int] | None = None,
    ) -> Decimal:
        """USD, exact, as the gateway's ledger books it.

        `prompt_tokens` contains `cached_tokens` (read from the cache) and `cache_write_tokens`; those contain
        `cache_write_1h_tokens`. `server_tools` are uses of tools that the provider runs, as in {"web_search": 2}.
        UnknownPriceError if the model, or such a tool, has no known price.
        """
        written = (cache_write_tokens, cache_write_1h_tokens)
        tokens = Tokens.of_prompt(prompt_tokens, completion_tokens, cached_tokens, *written)
        return self._cost(tokens, tools.uses(server_tools or {}), model)

    def cost_of(
        self, answered: ChatCompletion | Message | Embeddings | Stream[Any], model: str | None = None
    ) -> Decimal:
        """USD of an answer, or of a stream that has ended, by its own usage; ConfigurationError if it has none.

        The price is that of the model that answered, as far as the gateway says it; `model` uses another model's price.
        """
        if isinstance(answered, Stream) and not answered.over:
            raise ConfigurationError("this stream has not ended, so its cost is not known")
        if answered.usage is None:
            raise ConfigurationError("this answer has no usage, so its cost is not known")
        uses = tools.counts(answered.usage.server_tool_use, answered.called_tools, answered.offered_tools)
        return self._cost(answered.usage.tokens(), uses, model or answered.priced_model)

    # ---- inside

    def _cost(self, tokens: Tokens, uses: Mapping[str, int], model: str) -> Decimal:
        price = self._catalogue.custom_price(model, uses) or self._known().price(model, uses)
        return price.cost(tokens, uses)

    def _known(self) -> Catalogue:
        fetch.refresh(self._catalogue, self._settings)
        return self._catalogue

    async def _fetch_models(self) -> list[ModelEntry]:
        listed = await self._whole(ModelList, routes.MODELS)
        self._catalogue.listed(listed.data)
        return listed.data

    async def _whole(self, kind: type[A], call: Call) -> A:
        whole = await self._connection.whole(call)
        parsed = answer(kind, whole.content, whole.request_id, paid=not call.free)
        parsed.came_with(whole.request_id, call.model, whole.answered_by, call.offered_tools)
        return parsed

    async def ask(self, kind: type[P], call: Call, model: str) -> P:
        """For routers: `call` with its answer, noted in `availability`."""
        self.availability.asked(model)
        try:
            parsed = await self._whole(kind, call)
        except TollgateError as error:
            self.availability.failed(model, error)
            raise
        self.availability.served(model, parsed.usage.tokens().total if parsed.usage is not None else 0)
        return parsed

"""The routes: each reads the request, applies the dials and answers in the form of its API."""

from __future__ import annotations

from collections.abc import Callable

from tollgate.services.provider import catalogue
from tollgate.services.provider.answers import REFUSED, answer
from tollgate.services.provider.anthropic import reply as anthropic_reply
from tollgate.services.provider.anthropic import request as anthropic_request
from tollgate.services.provider.anthropic.safeguards import Safeguards
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.provider.delivery import Delivery
from tollgate.services.provider.dials import from_model
from tollgate.services.provider.exchange import Api, Exchange
from tollgate.services.provider.openai import embeddings as openai_embeddings
from tollgate.services.provider.openai import reply as openai_reply
from tollgate.services.provider.openai import request as openai_request

Operation = Callable[[Exchange], Delivery]


def messages(exchange: Exchange) -> Delivery:
    body = exchange.body()
    prompt = anthropic_request.read(body, dialled=exchange.under_test)
    dialled = exchange.dial(prompt.model_dials, prompt.text_dials)
    if dialled.roles == "strict" and prompt.system_roles:
        raise anthropic_request.system_role_refused()
    if dialled.context is not None and prompt.usage.total > dialled.context:
        raise anthropic_request.too_long(prompt.usage.total, dialled.context)
    reply = REFUSED if dialled.refuse else answer(prompt, dialled)
    # An upstream that knows no safeguards ignores the field.
    asked = () if dialled.safeguard == "missing" else prompt.safeguards
    checked = Safeguards(asked, flagged=dialled.safeguard == "flagged")
    if prompt.stream:
        frames = anthropic_reply.events(
            reply, prompt.usage, reply_id=exchange.reply_id, model=body["model"], safeguards=checked
        )
        return exchange.stream(frames, carries=reply.tokens)
    whole = anthropic_reply.message(
        reply, prompt.usage, reply_id=exchange.reply_id, model=body["model"], safeguards=checked
    )
    return exchange.whole(whole, carries=reply.tokens)


def count_tokens(exchange: Exchange) -> Delivery:
    prompt = anthropic_request.read(exchange.body(), counting=True, dialled=exchange.under_test)
    exchange.dial(prompt.model_dials, prompt.text_dials)
    return exchange.whole({"input_tokens": prompt.usage.total})


def chat_completions(exchange: Exchange) -> Delivery:
    body = exchange.body()
    prompt = openai_request.read(body, dialled=exchange.under_test)
    dialled = exchange.dial(prompt.model_dials, prompt.text_dials)
    if dialled.context is not None and prompt.usage.total > dialled.context:
        raise openai_request.too_long(prompt.usage.total, dialled.context)
    if dialled.refuse:
        raise openai_request.content_refused()
    reply = answer(prompt, dialled)
    if prompt.stream:
        frames = openai_reply.chunks(
            reply, prompt.usage, reply_id=exchange.reply_id, model=body["model"], with_usage=prompt.include_usage
        )
        return exchange.stream(frames, carries=reply.tokens)
    whole = openai_reply.completion(reply, prompt.usage, reply_id=exchange.reply_id, model=body["model"])
    return exchange.whole(whole, carries=reply.tokens)


def embeddings(exchange: Exchange) -> Delivery:
    body = exchange.body()
    model = openai_request.model_of(body)
    exchange.dial(from_model(model, dialled=exchange.under_test)[1])
    return exchange.whole(openai_embeddings.embeddings(body, model=model))


def list_models(exchange: Exchange) -> Delivery:
    exchange.dial()
    return exchange.whole(anthropic_reply.models() if exchange.api is anthropic_reply else openai_reply.models())


def show_model(exchange: Exchange) -> Delivery:
    exchange.dial()
    model_id = exchange.entry.path.removeprefix(MODEL_PREFIX)
    model = catalogue.find(model_id)
    anthropic = exchange.api is anthropic_reply
    if model is None:
        words = f"model: {model_id}" if anthropic else f"The model '{model_id}' does not exist"
        raise ApiError(404, words, kind="not_found", param="model")
    return exchange.whole((anthropic_reply if anthropic else openai_reply).model_entry(model))


MODEL_PREFIX = "/v1/models/"
ROUTES: dict[str, dict[str, Operation]] = {
    "/v1/messages": {"POST": messages},
    "/v1/messages/count_tokens": {"POST": count_tokens},
    "/v1/chat/completions": {"POST": chat_completions},
    "/v1/embeddings": {"POST": embeddings},
    "/v1/models": {"GET": list_models},
    MODEL_PREFIX: {"GET": show_model},
}


def find(method: str, path: str) -> Operation:
    """The operation for a route. Raises ApiError: 404 for an unknown path, 405 for another method."""
    methods = ROUTES.get(MODEL_PREFIX if path.startswith(MODEL_PREFIX) else path)
    if methods is None:
        raise ApiError(404, f"Invalid URL ({method} {path})", kind="not_found", code="unknown_url")
    if method not in methods:
        allowed = ", ".join(methods)
        words = f"Not allowed to {method} on {path} (allowed: {allowed})"
        raise ApiError(405, words, headers={"allow": allowed}, code="method_not_allowed")
    return methods[method]


def api_of(path: str, headers: dict[str, str]) -> Api:
    """Anthropic's API on its own routes, and for every client that sends an Anthropic version; else OpenAI's."""
    if path == "/v1/messages" or path.startswith("/v1/messages/") or "anthropic-version" in headers:
        return anthropic_reply
    return openai_reply


def check_key(api: Api, headers: dict[str, str]) -> None:
    """Accept any key, as a Bearer token or in x-api-key. Raises ApiError (401) without a key."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if headers.get("x-api-key", "").strip() or (scheme.lower() == "bearer" and token.strip()):
        return
    if api is anthropic_reply:
        raise ApiError(401, "x-api-key header is required", kind="authentication")
    words = "You didn't provide an API key. Send it in an Authorization header: 'Authorization: Bearer YOUR_KEY'."
    raise ApiError(401, words, kind="authentication")

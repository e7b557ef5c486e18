"""The one request that a synchronous method of the asynchronous provider may need: the list of models."""

from __future__ import annotations

import httpx

from tollgate_client import pool, refusals, routes
from tollgate_client.call import answer
from tollgate_client.errors import TollgateError
from tollgate_client.model_info import ModelList
from tollgate_client.settings import Settings

_SECONDS = 10.0


def models(settings: Settings) -> ModelList | TollgateError:
    """One attempt, which blocks for at most a few seconds. The error is returned, so it chains no other."""
    url, headers = settings.url(routes.MODELS.path), settings.headers()
    try:
        with pool.opened(httpx.Client, timeout=min(_SECONDS, settings.timeout)) as client:
            response = client.get(url, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return refusals.unreachable(error, settings.base_url)
    if not response.is_success:
        return refusals.refusal(response.status_code, response.headers, response.content, settings.api_key)
    try:
        return answer(ModelList, response.content, refusals.request_id(response.headers))
    except TollgateError as error:
        return error

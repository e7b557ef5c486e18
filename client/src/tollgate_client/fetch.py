"""The one request that a synchronous method of the asynchronous provider may need: the list of models."""

from __future__ import annotations

import httpx

from tollgate_client import pool, refusals, routes
from tollgate_client.call import answer
from tollgate_client.catalogue import Catalogue
from tollgate_client.errors import TollgateError
from tollgate_client.model_info import ModelList
from tollgate_client.settings import Settings

_SECONDS = 10.0


def refresh(catalogue: Catalogue, settings: Settings) -> None:
    """Fetch the list if it is too old, once for all threads that need it."""
    if not catalogue.stale:
        return
    began = catalogue.now
    with catalogue.turn:
        if not catalogue.wanted(began):
            return
        listed = models(settings)
        if isinstance(listed, TollgateError):
            catalogue.not_listed(listed)
        else:
            catalogue.listed(listed.data)


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

"""The provider and the routers without async. They are the same code (client/tools/twin.py)."""

from tollgate_client._sync.provider import LiteLLMProvider
from tollgate_client._sync.router import HeuristicRouter, Router
from tollgate_client._sync.stream import Stream

__all__ = ["HeuristicRouter", "LiteLLMProvider", "Router", "Stream"]

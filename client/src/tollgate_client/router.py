"""`from tollgate_client.router import HeuristicRouter`, as programs for such routers expect it."""

from tollgate_client._async.router import HeuristicRouter, Router
from tollgate_client.routing.route import Route, RoutedAnswer, Selection

__all__ = ["HeuristicRouter", "Route", "RoutedAnswer", "Router", "Selection"]

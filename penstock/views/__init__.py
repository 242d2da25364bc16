"""Views: the figures that people read, page by page, and how fresh they are."""

from penstock.views.freshness import Freshness, list_views, outdated_views
from penstock.views.pages import MAX_PAGE, Page, read_view
from penstock.views.refresh import Refreshed, refresh_view
from penstock.views.registry import Key, View, find_view, views

__all__ = [
    "MAX_PAGE",
    "Freshness",
    "Key",
    "Page",
    "Refreshed",
    "View",
    "find_view",
    "list_views",
    "outdated_views",
    "read_view",
    "refresh_view",
    "views",
]

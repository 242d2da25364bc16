"""Supabase's client over an HTTP client of ours: with our timeouts, and no session, thread or retry of its own."""

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from supabase import Client


def project_client(url: str, key: str, http: httpx.Client) -> "Client":
    """The client of the project at `url`, by a secret key or the publishable one."""
    from supabase import Client, ClientOptions

    options = ClientOptions(
        httpx_client=http, auto_refresh_token=False, persist_session=False, postgrest_client_retry=False
    )
    return Client(url, key, options)

"""Whether the project's HTTP interface lets a secret key refresh views, and the publishable key not."""

from collections.abc import Iterator

import httpx

from penstock.operations.check import Check
from penstock.redaction import error_text, redact
from penstock.settings import Settings
from penstock.supabase_project.client import project_client

_NO_VIEW = "PK007"
"""What the function raises where there is nothing to refresh: this caller may call it, and nothing was done."""
_NO_RIGHT = "42501"


def check_supabase(settings: Settings) -> Iterator[Check]:
    """Nothing where no project is configured."""
    url, secret, publishable = settings.supabase_url, settings.supabase_secret_key, settings.supabase_publishable_key
    if url and secret:
        yield _of_secret(*_call(url, secret))
    if url and publishable:
        yield _of_publishable(*_call(url, publishable))


def _of_secret(state: str | None, message: str) -> Check:
    if state == _NO_VIEW:
        return Check("supabase secret key", True, "may refresh views over HTTP")
    return Check("supabase secret key", False, f"SUPABASE_SECRET_KEY may not refresh views over HTTP: {message}")


def _of_publishable(state: str | None, message: str) -> Check:
    if state == _NO_RIGHT:
        return Check("supabase publishable key", True, "may not refresh views, as it should be")
    if state == _NO_VIEW:
        message = "anybody may refresh views: revoke execute on refresh_materialized_view from anon"
        return Check("supabase publishable key", False, message)
    return Check("supabase publishable key", False, f"SUPABASE_PUBLISHABLE_KEY could not be tried: {message}")


def _call(url: str, key: str) -> tuple[str | None, str]:
    """The error's code, and what it says. The call names a view that there cannot be."""
    from supabase import PostgrestAPIError

    try:
        with httpx.Client(timeout=10) as http:
            project_client(url, key, http).rpc("refresh_materialized_view", {"view_name": ""}).execute()
    except PostgrestAPIError as error:
        return error.code, redact(" ".join(str(error.message).split()))[:200]
    except httpx.HTTPError as error:
        return None, error_text(error)
    return None, "a view without a name was refreshed"

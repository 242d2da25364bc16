"""All Inngest functions that every deployment has."""

from penstock.inngest.functions.drain_inbox import drain_inbox
from penstock.inngest.functions.import_file import import_file
from penstock.inngest.functions.purge_history import purge_history
from penstock.inngest.functions.record_failure import record_failure
from penstock.inngest.functions.refresh_views import refresh_views
from penstock.inngest.functions.relay_events import relay_events
from penstock.inngest.functions.resume_imports import resume_imports

FUNCTIONS = (
    drain_inbox,
    import_file,
    purge_history,
    record_failure,
    refresh_views,
    relay_events,
    resume_imports,
)

__all__ = ["FUNCTIONS"]

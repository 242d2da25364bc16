"""All Inngest functions that every deployment has."""

from penstock.inngest.functions.advance_projections import advance_projections
from penstock.inngest.functions.drain_inbox import drain_inbox
from penstock.inngest.functions.import_file import import_file
from penstock.inngest.functions.purge_history import purge_history
from penstock.inngest.functions.record_failure import record_failure
from penstock.inngest.functions.refresh_views import refresh_views
from penstock.inngest.functions.sweep import sweep

FUNCTIONS = (
    advance_projections,
    drain_inbox,
    import_file,
    purge_history,
    record_failure,
    refresh_views,
    sweep,
)

__all__ = ["FUNCTIONS"]

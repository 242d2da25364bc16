"""Penstock turns business events into figures that are right, fresh and explainable.

The core: it knows Postgres and the outside services, never FastAPI and never Inngest.
"""

__version__ = "0.2.0"

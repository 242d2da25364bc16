"""Stand-ins for the hosted services, and what runs everything on one machine.

A checkout keeps all its local state in one folder; nothing here is used in production.
"""

from pathlib import Path

PROJECT = Path(__file__).parents[2]
STATE = PROJECT / ".penstock"

"""Stand-ins for the hosted services, and what runs everything on one machine.

A project keeps all its local state in one folder of its own; nothing here is used in production.
"""

from penstock.project import find_project

PROJECT = find_project().folder
STATE = find_project().state

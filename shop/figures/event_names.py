"""The name of the event that asks for daily figures."""

from typing import Final

DAILY_REQUESTED: Final = "etl/daily.requested"

"""One file per figure; `python -m benchmarks [NAME …]` runs them, `make bench ONLY=name` one of them.

The sample domain is what is measured: its projections, import targets and payloads are installed for all of them.
"""

from penstock.domain import install
from shop import DOMAIN

install(DOMAIN)

"""What the name of a column suggests that it holds, of columns that matter and that no field takes.

One list for what is asked before an import (`questions.py`) and for what is warned of by it (`hints.py`).
"""

import re
from typing import Final

_MEANINGS: Final = (
    ("a refund", re.compile(r"refund|returned|\breturns?\b|credit ?(note|memo)|erstattung")),
    ("a status", re.compile(r"status|cancel|fulfil|storn|^state$")),
    ("a currency", re.compile(r"currency|^ccy$|waehrung|währung")),
    (
        "a time",
        re.compile(
            r"(?<!up)date\b|date ?time|(?<!life)time\b|timestamp|\bhour\b|\bat$|\bcreated\b|datum\b|(?<!lauf)zeit\b"
        ),
    ),
    (
        "an amount",
        re.compile(
            r"discount|\bshipping( (costs?|price|fee|amount|charge))?$|\btax(es)?$|\btotal\b|\bamount\b"
            r"|rabatt|versand(kosten)?$|steuer$|summe\b|betrag\b"
        ),
    ),
)


def words_of(name: str) -> str:
    """The words of a column's name in lower case: `OrderStatus` and `order_status` are both `order status`."""
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip().lower()


def meaning_of(name: str) -> str | None:
    """What a column of that name may hold, such as `a status`; None if it says nothing that matters."""
    words = words_of(name)
    return next((meaning for meaning, pattern in _MEANINGS if pattern.search(words)), None)

"""What the name of a column suggests that it holds, of columns that matter and that no field takes.

One list for what is asked before an import (`questions.py`) and for what is warned of by it (`hints.py`).
"""

import re
from typing import Final

TIME_ZONE: Final = "a time zone"
_SHIPPING = r"(?:shipping|freight|postage|delivery|handling|versand)"
_CHARGE = r"(?:costs?|price|total|amount|charges?|charged|value|fees?|paid|kosten)"
_MEANINGS: Final = (
    (TIME_ZONE, re.compile(r"^time ?zone$")),
    ("a refund", re.compile(r"refund|returned|credit ?(note|memo)|erstattung")),
    ("a status", re.compile(r"status|cancel|fulfil|storn|^state$")),
    ("a currency", re.compile(r"currency|^ccy$|waehrung|währung")),
    (
        "a time",
        re.compile(
            r"(?<!up)date\b|date ?time|(?<!life)time\b|timestamp|\bhour\b|\bat$|\bcreated\b|datum\b|(?<!lauf)zeit\b"
        ),
    ),
)
_MONEY: Final = (
    ("a discount", re.compile(r"\bdisc(?:ounts?)?\b|coupon|voucher|rebate|promotion|rabatt")),
    ("a tax", re.compile(r"\b(?:tax|taxes|vat|gst|hst|duties)\b|steuer$")),
    ("shipping", re.compile(rf"^(?:order |total )?{_SHIPPING} ?{_CHARGE}?$|^{_SHIPPING} items$")),
    ("a fee", re.compile(r"\b(?:fees?|commission|tips?|gratuity|surcharge|gift ?wrap)\b")),
)
_NO_AMOUNT: Final = re.compile(
    r"\b(?:code|name|details?|ids?|method|label|type|class|exempt|number|reason|model|party|status)$|\bid\b"
)


def words_of(name: str) -> str:
    """The words of a column's name in lower case: `OrderStatus` and `order_status` are both `order status`."""
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip().lower()


def meaning_of(name: str) -> str | None:
    """What a column of that name may hold, such as `a status`; None if it says nothing that matters."""
    words = words_of(name)
    patterns = _MEANINGS if _NO_AMOUNT.search(words) else (*_MEANINGS, *_MONEY)
    return next((meaning for meaning, pattern in patterns if pattern.search(words)), None)

"""Stored JSON as Python reads it, whatever SQL was given to store.

Postgres takes numbers of any length and thousands of levels, where JSON's readers (Python, JavaScript, Inngest) fail or
round. One such event would stop every reader at its position. What goes beyond the limits of `json_codec` is therefore
read as text: a number as its digits, a value nested too deep as its JSON. Nothing is lost, and all else stays as it is.
"""

import json
import math
import re
from typing import Any

from penstock.json_codec import MAX_DEPTH, MAX_DIGITS

# Alternatives that exclude each other by their first character. A string is taken whole, one without an end too: no
# text can make the search begin again inside it.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def loads(data: bytes | str) -> Any:
    """Parse what Postgres gave as jsonb; never raises for its size, depth or numbers."""
    text = data if isinstance(data, str) else bytes(data).decode()
    decode = _DECODER.decode if len(text) <= MAX_DIGITS else _CAREFUL_DECODER.decode
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return decode(text)
    return decode(_cut(text))


def _cut(text: str) -> str:
    """The same JSON with each value below the deepest allowed level as a string of its JSON."""
    parts: list[str] = []
    depth = copied = began = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH + 2:
                parts.append(text[copied : token.start()])
                began = token.start()
        elif token[0] in "]}":
            if depth == MAX_DEPTH + 2:
                copied = token.end()
                parts.append(json.dumps(text[began:copied], ensure_ascii=False))
            depth -= 1
    return "".join(parts) + text[copied:]


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_DIGITS else digits


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) and len(digits) <= MAX_DIGITS else digits


_DECODER = json.JSONDecoder(parse_float=_float)
_CAREFUL_DECODER = json.JSONDecoder(parse_float=_float, parse_int=_integer)

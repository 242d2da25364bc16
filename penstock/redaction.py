"""Keep secrets out of what is stored and shown: error texts go to tables, to the dashboard and to Inngest.

A pattern for each form in which a secret of ours can turn up in a message, so that no caller has to know the secrets.
Error texts repeat outside values of any size, some while a checkpoint is locked: so only the beginning is read, and no
pattern may cost more than linear time (possessive repeats, and no start from which a stretch is scanned twice).
"""

import re
from typing import Final

MAX_TEXT: Final = 4000
LONGEST_SECRET: Final = 4000

_WORD: Final = re.compile(r"\S++")
_USER: Final = re.compile(r"://[^\s:/@]*+:")
_FORMS: Final = [
    (
        re.compile(
            r"(?i)\b(password|pwd|token|secret|apikey|api_key|signature|sig)([\"']?+\s*+[=:]\s*+[\"']?+)[^\s&'\",;]++"
        ),
        r"\1\2***",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s++[\w.~+/=-]{8,}+"), r"\1 ***"),
    (re.compile(r"\b(whsec_|sb_secret_|signkey-\w++-)[\w+/=-]++"), r"\1***"),
    (re.compile(r"(/e/)[\w-]{8,}+"), r"\1***"),
    (re.compile(r"(?<![\w-])eyJ[\w-]{10,}+\.[\w-]++\.[\w-]*+"), "***"),
    (re.compile(r"(percent-encoded token: )\"[^\"]*+\""), r"\1***"),
]


def redact(text: str) -> str:
    """The text without passwords, keys, tokens and NUL characters, cut to 4,000 characters."""
    beginning = text[: MAX_TEXT + LONGEST_SECRET]
    shown = _WORD.sub(_without_password, beginning)
    for form, replacement in _FORMS:
        shown = form.sub(replacement, shown)
    if len(beginning) < len(text):
        shown = _without_half_a_secret(shown) + "…"
    shown = shown.replace("\x00", "\\0")
    return shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"


def error_text(error: BaseException) -> str:
    """The error in one redacted line: its kind and message."""
    message = " ".join(str(error).split())
    return redact(f"{type(error).__name__}: {message}" if message else type(error).__name__)


def _without_password(word: re.Match[str]) -> str:
    """`scheme://user:password@host`: the password ends at the word's last @, for it may hold one itself."""
    address, at, host = word[0].rpartition("@")
    user = _USER.search(address)
    return f"{address[: user.end()]}***@{host}" if at and user else word[0]


def _without_half_a_secret(shown: str) -> str:
    """Where the text was cut, no pattern recognises a secret any more that goes on behind the cut."""
    last_word = max(shown.rfind(" "), shown.rfind("\n")) + 1
    return shown[: max(last_word, len(shown) - LONGEST_SECRET)]

"""Keep secrets out of what is stored and shown: error texts go to tables, to the dashboard and to Inngest.

A pattern for each form in which a secret of ours can turn up in a message, so that no caller has to know the secrets.
"""

import re

MAX_TEXT = 4000

_FORMS = [
    (re.compile(r"(\w[\w+.-]*://[^\s:/@]*):\S*@"), r"\1:***@"),
    (re.compile(r"(?i)\b(password|pwd|token|secret|apikey|api_key|signature|sig)(\s*[=:]\s*)[^\s&'\",;]+"), r"\1\2***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 ***"),
    (re.compile(r"\b(whsec_|sb_secret_|signkey-\w+-)[\w+/=-]+"), r"\1***"),
    (re.compile(r"(/e/)[\w-]{8,}"), r"\1***"),
    (re.compile(r"\beyJ[\w-]{10,}\.[\w-]+\.[\w-]*"), "***"),
    (re.compile(r"(percent-encoded token: )\"[^\"]*\""), r"\1***"),
]


def redact(text: str) -> str:
    """The text without passwords, keys, tokens and NUL characters, cut to 4,000 characters."""
    for form, replacement in _FORMS:
        text = form.sub(replacement, text)
    text = text.replace("\x00", "\\0")
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def error_text(error: BaseException) -> str:
    """The error in one redacted line: its kind and message."""
    message = " ".join(str(error).split())
    return redact(f"{type(error).__name__}: {message}" if message else type(error).__name__)

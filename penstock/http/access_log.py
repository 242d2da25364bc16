"""The address of an upload is its permission: logs show it without its token.

uvicorn writes one line for each request, from the moment that an upload is refused or taken; one that broke off may be
sent again with the same address. What other servers and proxies log is theirs to configure.
"""

import logging
import re
from typing import Final

_TOKEN: Final = re.compile(r"(/v1/uploads/)[^/?\s]+")


def without_token(path: str) -> str:
    return _TOKEN.sub(r"\1***", path)


def hide_tokens() -> None:
    """Keep upload tokens out of uvicorn's access log, also where gunicorn runs uvicorn's workers."""
    logging.getLogger("uvicorn.access").addFilter(_hide_tokens)


def _hide_tokens(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(without_token(part) if isinstance(part, str) else part for part in record.args)
    return True

"""Pages that belong to the package: a folder's files under a strict content policy, sent again only if they changed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from penstock.http.revalidation import is_known

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Folder:
    """`policy` is the Content-Security-Policy of all its files."""

    path: Path
    policy: str

    def file(self, request: Request, name: str) -> Response:
        """The file of that name in the folder, or 304 if the client has it; raises a 404 if there is none."""
        found = self._files.get(name)
        if found is None:
            raise HTTPException(404)
        content = found.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {"content-security-policy": self.policy, "cache-control": "no-cache", "etag": tag}
        if is_known(request, tag):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=_TYPES[found.suffix])

    @cached_property
    def _files(self) -> Mapping[str, Path]:
        """By name: a path from a request is looked up here and never reaches the file system."""
        found = (path for path in self.path.rglob("*") if path.suffix in _TYPES)
        return {path.relative_to(self.path).as_posix(): path for path in found}

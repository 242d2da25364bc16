"""The app under `http_append`: the real one with a key, beside an endpoint that only authenticates and answers.

Events go to no Inngest: the relay is not what is measured.
"""

import hashlib
import os

from fastapi import FastAPI, Request

from penstock.http.app import create_app
from penstock.http.background import Notifiers
from penstock.http.routing import Json, requires, router
from penstock.settings import ApiKey, Settings
from shop import DOMAIN

KEY = "a key of the benchmark"
routes = router()


@routes.post("/only-authenticate", openapi_extra=requires("write"))
async def only_authenticate(request: Request) -> Json:
    await request.body()
    return Json({"aggregate_id": "none", "version": 0, "position": 0, "duplicate": False, "events": []}, 201)


def make() -> FastAPI:
    key = ApiKey("benchmark", hashlib.sha256(KEY.encode()).hexdigest(), frozenset({"write"}))
    settings = Settings(database_url=os.environ["DATABASE_URL"], api_keys=(key,))

    def nothing(*_: object, **__: object) -> None:
        return None

    app = create_app(DOMAIN, settings=settings, notifiers=Notifiers(nothing, nothing, nothing))
    app.router.routes[:0] = routes.routes  # first, as the append is
    return app

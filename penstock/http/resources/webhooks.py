"""Webhooks: deliveries into the inbox. They prove themselves by signature, not by a key."""

from datetime import UTC, datetime

from fastapi import Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from penstock.http.background import send_after
from penstock.http.parameters import Answer, Name
from penstock.http.routing import Json, requires, router, settings_of
from penstock.ingest.webhooks import receive
from penstock.relay.event_names import DELIVERY_RECEIVED

routes = router()


class ReceivedOut(Answer):
    delivery_id: str = Field(examples=["msg_p5jXN8AQM9LWM0D4loKWxJek"])
    duplicate: bool = Field(description="This delivery had come before; nothing was stored again.")


_SIGNED_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["type", "data"],
                "properties": {
                    "type": {"type": "string"},
                    "timestamp": {"type": "string", "format": "date-time"},
                    "data": {"type": "object"},
                },
            },
            "example": {
                "type": "TicketOpened",
                "timestamp": "2026-11-20T10:00:00Z",
                "data": {"id": "T-2", "subject": "Late parcel"},
            },
        }
    },
}
_HEADERS = [
    {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": what}
    for name, what in (
        ("webhook-id", "The delivery's id, the same in each retry."),
        ("webhook-timestamp", "Seconds since 1970, at most five minutes from now."),
        ("webhook-signature", "`v1,<base64 HMAC-SHA256 of id.timestamp.body>`, several separated by spaces."),
    )
]


@routes.post(
    "/v1/webhooks/{source}",
    responses={200: {"model": ReceivedOut}},
    openapi_extra={**requires(None), "requestBody": _SIGNED_BODY, "parameters": _HEADERS},
)
async def receive_webhook(request: Request, source: Name) -> Json:
    """Take a delivery signed by the Standard Webhooks scheme. It is stored before this answers, and worked after.

    401 if no signature fits, 404 for an unknown source; nothing is stored then. What the body says is not checked here.
    """
    body = await request.body()
    headers = dict(request.headers.items())
    received = await run_in_threadpool(receive, settings_of(request), source, headers, body, datetime.now(UTC))
    answer = Json({"delivery_id": received.delivery_id, "duplicate": received.duplicate})
    return send_after(request, answer, DELIVERY_RECEIVED, f"{source}:{received.delivery_id}", {"source": source})

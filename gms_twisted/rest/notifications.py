"""Routes of the Notification API; the rules are in ``app.subscriptions`` and ``app.notifications``.

All are for internal callers only (hardening N13).

Spec: Notification API.
"""

from __future__ import annotations

from twisted.web.iweb import IRequest

from gms_twisted.app.notifications import Notifications, Published
from gms_twisted.app.subscriptions import Subscriptions
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import InvalidRequest, UnsupportedMedia
from gms_twisted.http.interfaces import BodyKind
from gms_twisted.rest.forms import caller_of, form_of, hops_of
from gms_twisted.rest.replies import JSON_TYPE, body_reply, empty_reply, json_reply
from gms_twisted.rest.root import UnknownPath, route

BASE = "/genesys/1/notification"

DELIVERY_ID = b"X-Delivery-Id"

NOT_DELIVERED = "gms.push.not_delivered"


class NotificationsApi:
    """Subscribe, publish, ask what became of it."""

    def __init__(
        self, subscriptions: Subscriptions, notifications: Notifications, tasks: Tasks
    ) -> None:
        self._subscriptions = subscriptions
        self._notifications = notifications
        self._tasks = tasks

    @route(BASE + "/subscription", "POST", body=BodyKind.JSON, internal=True, limit="push")
    async def subscribe(self, request: IRequest) -> bytes:
        """Spec: Notification API, "Create subscription".  200 with ``{"id"}``; 400, 404, 429."""
        work = self._subscriptions.create(_document(request), caller_of(request).user)
        subscription_id = await self._tasks.finish("creating a subscription", work)
        return json_reply(request, {"id": subscription_id})

    @route(BASE + "/subscription/subscriber/<subscriber>", "DELETE", internal=True)
    async def unsubscribe_all(self, request: IRequest, subscriber: str) -> bytes:
        """Spec: Notification API, "Delete subscription for given subscriber".  200 and empty."""
        work = self._subscriptions.delete_of(subscriber)
        await self._tasks.finish("deleting the subscriptions of a subscriber", work)
        return empty_reply(request)

    @route(BASE + "/subscription/<subscription_id>", "DELETE", internal=True)
    async def unsubscribe(self, request: IRequest, subscription_id: str) -> bytes:
        """Spec: Notification API, "Delete subscription".  200 and empty, also the second time."""
        if subscription_id == "subscriber":
            # The name is missing; a word of the path is never an id.
            raise UnknownPath("The subscriber's id is missing.")
        work = self._subscriptions.delete(subscription_id)
        await self._tasks.finish("deleting a subscription", work)
        return empty_reply(request)

    @route(BASE + "/publish", "POST", body=BodyKind.JSON, internal=True, limit="push")
    async def publish(self, request: IRequest) -> bytes:
        """Spec: Notification API, "Publish event".  200 and empty; 400, 404, 503."""
        published = await self._notifications.publish(_document(request), hops_of(request))
        return _publish_reply(request, published)

    @route(BASE + "/delivery/<delivery_id>", "GET", internal=True)
    async def delivery(self, request: IRequest, delivery_id: str) -> bytes:
        """Tell what became of a publish.  200 with each result; 404."""
        report = await self._notifications.report(delivery_id)
        return body_reply(request, report.json(), JSON_TYPE)


def _document(request: IRequest) -> object:
    """The body as JSON.

    :raises UnsupportedMedia: it does not say to be JSON.
    :raises InvalidRequest: there is none.
    """
    header = request.getHeader("content-type") or ""
    if header.partition(";")[0].strip().lower() != "application/json":
        # Spec: "It's absence or incorrect value can result in 415".
        raise UnsupportedMedia("The body must be of type application/json.")
    document = form_of(request).document
    if document is None:
        raise InvalidRequest("The body is empty; a JSON object is expected.")
    return document


def _publish_reply(request: IRequest, published: Published) -> bytes:
    if published.delivery_id:
        request.setHeader(DELIVERY_ID, published.delivery_id.encode("ascii"))
    answer: dict[str, object] = {}
    if not published.ok:
        answer = {
            "message": "The event was not delivered to every device; see its delivery record.",
            "exception": NOT_DELIVERED,
        }
    if published.results is not None:
        answer |= {
            "delivered": published.delivered,
            "failed": published.failed,
            "results": published.results,
        }
    status = 200 if published.ok else 503
    return json_reply(request, answer, status) if answer else empty_reply(request, status)

"""Module ``gsgNotification``: subscriptions of devices, and events for them.

Its actions stand for requests to the Notification API::

    create             POST   /genesys/1/notification/subscription
    publish            POST   /genesys/1/notification/publish
    delete             DELETE /genesys/1/notification/subscription/{subscriptionID}
    deleteSubscriber   DELETE /genesys/1/notification/subscription/subscriber/{subscriberID}

``content`` is the request's body, an object or JSON text.

Spec: Orchestration Server-based Services, "Samples"; Notification API.
Knows: what a session's service adds.  Does not know: subscriptions, devices.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.logger import Logger

from gms_twisted.app.modules.failures import ApiOutcomes, StatusOf, UnknownElement
from gms_twisted.app.modules.values import Attributes, json_text, needed, read_json, text
from gms_twisted.app.notifications import DeliveryUnknown, Notifications, Published
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.services import ServiceInstances
from gms_twisted.app.subscription_requests import DETAILS
from gms_twisted.app.subscriptions import Subscriptions
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.errors import GmsError, InvalidRequest, NotFound, TooLarge, Unavailable
from gms_twisted.scxml.effects import StartOperation

_VERSIONS = frozenset({"", "1"})


class VersionUnknown(NotFound):
    """There is no such version of the API."""


class NotDelivered(Unavailable):
    """A device did not get the event (yet)."""

    code = "gms.push.not_delivered"


class GsgNotification:
    """A :class:`gms_twisted.app.operations.Module`.

    :param services: for the provider of a session's service (``_provider_name``,
        ``_use_debug_push_certificate``).
    """

    log = Logger()

    prefix = "gsgNotification"

    def __init__(
        self,
        subscriptions: Subscriptions,
        notifications: Notifications,
        services: ServiceInstances,
        tasks: Tasks,
        options: PushOptions,
        status_of: StatusOf,
    ) -> None:
        self._subscriptions = subscriptions
        self._notifications = notifications
        self._services = services
        self._tasks = tasks
        self._options = options
        self._outcomes = ApiOutcomes(self.prefix, status_of)

    def reconfigure(self, options: PushOptions) -> None:
        """Follow other options (``push/max_body``)."""
        self._options = options

    def session_gone(self, session_id: str) -> None:
        """End the subscriptions that a session has made for itself and did not delete.

        Choice: an application that is ended from outside has no final state to do it in.
        After a crash in between they stay until they expire.
        """
        self._tasks.spawn("the subscriptions of a session", self._clear(session_id))

    async def _clear(self, session_id: str) -> None:
        try:
            await self._subscriptions.delete_of(session_id)
        except GmsError as error:
            self.log.warn(
                "The subscriptions of session {session_id} stay until they expire: {error}",
                session_id=session_id,
                error=error.code,
            )

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome:
        """Ask the Notification API; the event has ``content`` and ``status``.

        What is begun is finished though the session ends meanwhile: applications ask for
        ``deleteSubscriber`` in their last state.
        """
        element, attributes = operation.element, operation.attributes
        actions = {
            "create": self._create,
            "publish": self._publish,
            "delete": self._delete,
            "deleteSubscriber": self._delete_subscriber,
        }
        action = actions.get(element)
        if action is None:
            raise UnknownElement
        try:
            if text(attributes, "apiVersion") not in _VERSIONS:
                raise VersionUnknown("apiVersion must be 1.")
            work = action(owner, attributes)
            answer = await self._tasks.finish("an action of gsgNotification", work)
        except GmsError as error:
            return self._outcomes.failed(element, error)
        return self._outcomes.done(element, answer)

    async def _create(self, owner: Owner, attributes: Attributes) -> object:
        document = self._through_provider(owner, self._document(attributes))
        # The same again has the same id, so doing it twice does no harm.
        subscription_id = await self._subscriptions.create(document, owner.user)
        return {"id": subscription_id}

    async def _publish(self, owner: Owner, attributes: Attributes) -> object:
        document = self._document(attributes)
        if document.get(DETAILS) is not None:
            # Choice: only where a device is named.  Elsewhere a provider would leave out the
            # subscriptions of others.
            document = self._through_provider(owner, document)
        event_id = owner.operation_id or None
        published = await self._published(event_id)
        if published is None:
            published = await self._notifications.publish(document, owner.hops, event_id)
        if not published.ok:
            raise NotDelivered("The event was not delivered to every device.")
        if published.results is None:
            return None
        return {
            "delivered": published.delivered,
            "failed": published.failed,
            "results": published.results,
        }

    async def _published(self, event_id: str | None) -> Published | None:
        """What became of the same publish before the process was restarted.

        A publish that was cut off before its record was on disk is done again with the same
        id, by which receivers know what they have had.
        """
        if event_id is None:
            return None
        try:
            report = await self._notifications.report(event_id)
        except DeliveryUnknown:
            return None
        delivered, failed = report.counts["delivered"], report.counts["failed"]
        ok = not failed and not report.cut
        return Published(ok, event_id, delivered, failed, None)

    async def _delete(self, owner: Owner, attributes: Attributes) -> object:
        await self._subscriptions.delete(needed(attributes, "subscriptionID"))
        return None

    async def _delete_subscriber(self, owner: Owner, attributes: Attributes) -> object:
        await self._subscriptions.delete_of(needed(attributes, "subscriberID"))
        return None

    def _document(self, attributes: Attributes) -> Mapping[str, object]:
        """The request's body.

        :raises InvalidRequest: it is missing or no object.
        :raises TooLarge: the API would not take it either.
        """
        value = attributes.get("content")
        if value is None or value == "":
            raise InvalidRequest("content is missing; an object is expected.", "content")
        if isinstance(value, str):
            value = read_json(value, "content")
        if not isinstance(value, Mapping):
            raise InvalidRequest("content must be an object.", "content")
        try:
            size = len(json_text(value).encode())
        except UnicodeEncodeError:
            raise InvalidRequest("content has half of a surrogate pair.", "content") from None
        if size > self._options.max_body:
            raise TooLarge(f"content is longer than {self._options.max_body} bytes.")
        return value

    def _through_provider(
        self, owner: Owner, document: Mapping[str, object]
    ) -> Mapping[str, object]:
        """The same, reached as the session's service says, if it does not say how itself.

        Spec: Push Notification Service, "_provider_name", "_use_debug_push_certificate".
        """
        definition = self._services.definitions.get(owner.service)
        if definition is None or document.get("providerName"):
            return document
        provider = definition.parameter("_provider_name", {})
        if provider:
            document = {**document, "providerName": provider}
        details = document.get(DETAILS)
        if definition.flag("_use_debug_push_certificate", False) and isinstance(details, Mapping):
            properties = details.get("properties")
            if properties is None or isinstance(properties, Mapping):
                properties = {"debug": "true", **(properties or {})}
            document = {**document, DETAILS: {**details, "properties": properties}}
        return document

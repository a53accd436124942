"""The application's code inside the pipeline: extensions, listeners, decisions.

What it raises is logged and counts as "go on" where somebody only looks, and as
"no" where somebody decides.

Knows: who is asked when.  Does not know: what the answers lead to.
"""

from __future__ import annotations

from collections.abc import Callable

from gms_twisted.bayeux.authority import Authorizer, Decided, Decision, Operation
from gms_twisted.bayeux.authority import authorize as ask_authorizers
from gms_twisted.bayeux.channels import Channel, ChannelName, Channels, Listener
from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.extensions import Extension
from gms_twisted.bayeux.session import Session


class Hooks:
    """Extensions of the server, listeners and authorizers of channels.

    :param failed: logs what was raised, and where.
    :ivar extensions: server-wide ones, in order of registration.
    :ivar listening: some channel has, or had, a listener.
    :ivar authorizers: how many there are, on all channels.
    """

    def __init__(self, channels: Channels, failed: Callable[[str, Exception], None]) -> None:
        self.extensions: list[Extension] = []
        self.listening = False
        self._channels = channels
        self._failed = failed
        self.authorizers = 0

    def guarded(
        self, what: str, otherwise: object, call: Callable[..., object], *arguments: object
    ) -> object:
        """Call the application's code; when it raises, log that and return ``otherwise``."""
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001 - the application's code may raise anything
            self._failed(what, error)
            return otherwise

    def decide(self, asked: Callable[..., Decided], *arguments: object) -> Decided:
        """Ask the policy; one that raises refuses."""
        try:
            return asked(*arguments)
        except Exception as error:  # noqa: BLE001 - the application's code may raise anything
            self._failed("a policy", error)
            return False

    # -- extensions -------------------------------------------------------------

    def incoming(self, session: Session | None, message: Message) -> bool:
        """Let extensions see a message from a client; ``False`` when one deletes it."""
        own = session.extras.extensions if session is not None and session.extras else ()
        return all(
            self.guarded("an extension", True, extension.incoming, session, message) is not False
            for extension in (*self.extensions, *own)
        )

    def outgoing(self, session: Session | None, message: Message) -> bool:
        """Let extensions see what goes out, a session's own first, the last registered first."""
        if session is not None and not self.tailor(session, message):
            return False
        return all(
            self.guarded("an extension", True, extension.outgoing, session, message) is not False
            for extension in reversed(self.extensions)
        )

    def tailor(self, session: Session, message: Message) -> bool:
        """Let a session's own extensions see what goes out to it."""
        own = session.extras.extensions if session.extras is not None else ()
        return all(
            self.guarded("an extension", True, extension.outgoing, session, message) is not False
            for extension in reversed(own)
        )

    # -- channels ---------------------------------------------------------------

    def listen(self, channel: Channel, listener: Listener) -> Callable[[], None]:
        """Let a listener see what goes into a channel or pattern; returns how to stop it."""
        channel.listeners.append(listener)
        self.listening = True

        def stop() -> None:
            channel.listeners.remove(listener)
            self._channels.left(channel)

        return stop

    def heard(self, session: Session | None, name: ChannelName, message: Message) -> bool:
        """Tell listeners about a message; ``False`` when one stops it."""
        if not self.listening:
            return True
        return all(
            self.guarded("a listener", True, listener, session, message) is not False
            for channel in self._channels.concerned(name)
            for listener in tuple(channel.listeners)
        )

    def authorize(self, channel: Channel, authorizer: Authorizer) -> Callable[[], None]:
        """Let an authorizer decide about a channel or pattern; returns how to remove it."""
        channel.authorizers.append(authorizer)
        self.authorizers += 1

        def remove() -> None:
            channel.authorizers.remove(authorizer)
            self.authorizers -= 1
            self._channels.left(channel)

        return remove

    def authorized(self, operation: Operation, session: Session, name: ChannelName) -> Decision:
        """Ask the authorizers, if there are any."""
        if not self.authorizers:
            return True
        verdict = self.guarded(
            "an authorizer", False, ask_authorizers, self._channels, operation, session, name
        )
        return verdict if isinstance(verdict, str) else verdict is True

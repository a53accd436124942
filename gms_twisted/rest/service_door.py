"""What the routes of the Service and Chat APIs have in common.

Knows: passwords of services, files of forms.  Does not know: services' rules.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.web.iweb import IRequest

from gms_twisted.app.services import ServiceInstances
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.values import Form
from gms_twisted.rest.admission import Passwords
from gms_twisted.rest.forms import form_of
from gms_twisted.rest.root import MethodRefused

T = TypeVar("T")


def refuse_head(request: IRequest) -> None:
    """Refuse ``HEAD`` where ``GET`` does something.

    :raises MethodRefused: it is one.
    """
    if request.method == b"HEAD":
        raise MethodRefused(("GET", "OPTIONS", "POST"))


class ServiceDoor:
    """What every route of an existing service does first and last.

    :ivar passwords: replaced when the configuration is.
    """

    def __init__(self, services: ServiceInstances, passwords: Passwords, tasks: Tasks) -> None:
        self._services = services
        self.passwords = passwords
        self._tasks = tasks

    async def check(self, request: IRequest, service_id: str) -> None:
        """Ask for the password that the service's definition has, else for the server's.

        Without any configured nothing is asked.

        :raises PasswordRequired: it is missing or wrong.
        """
        if not self.passwords.any:
            return
        instance = await self._services.peek(service_id)
        name = "" if instance is None else instance.name
        header = request.getHeader(b"authorization")
        self.passwords.check(header, name)

    async def whole(self, request: IRequest, what: str, work: Coroutine[Any, Any, T]) -> T:
        """Do something with a request's form to its end, then close the form's files.

        To the end also when the client is gone: files are read while it works.
        """
        form = form_of(request)
        return await self._tasks.finish(what, _and_close(form, work) if form.has_files else work)


async def _and_close(form: Form, work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    finally:
        form.close()

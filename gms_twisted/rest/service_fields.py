"""What a request to the Service and Chat APIs carries, whatever its body's type.

Choice: forms are what the reference names; programs in the field send JSON too,
also labelled as a form.

Knows: forms, Basic authentication of services.  Does not know: services' rules.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from twisted.web.iweb import IRequest

from gms_twisted.app.services import ServiceInstances
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import InvalidRequest, shown
from gms_twisted.domain.values import Form, FormValue
from gms_twisted.rest.admission import Passwords
from gms_twisted.rest.forms import form_of
from gms_twisted.rest.root import MethodRefused

T = TypeVar("T")


def fields_of(form: Form) -> Mapping[str, FormValue]:
    """The fields of a form; members of a JSON body as text.

    Numbers and booleans count as their JSON text, ``null`` as absent.

    :raises InvalidRequest: the JSON body is no object, or a member is one or a list.
    """
    if form.document is None:
        return form.fields
    if not isinstance(form.document, dict):
        raise InvalidRequest("The JSON body must be an object.")
    fields = {name: value for name, value in form.fields.items() if name not in form.document}
    for name, value in form.document.items():
        if isinstance(value, str):
            fields[name] = value
        elif isinstance(value, bool | int | float):
            fields[name] = json.dumps(value)
        elif value is not None:
            raise InvalidRequest(f"{shown(name)} must be text, a number or a boolean.", name)
    return fields


def refuse_head(request: IRequest) -> None:
    """Refuse ``HEAD`` where ``GET`` does something.

    :raises MethodRefused: it is one.
    """
    if request.method == b"HEAD":
        raise MethodRefused(("GET", "OPTIONS", "POST"))


class ServiceDoor:
    """What every route of an existing service does first and last."""

    def __init__(self, services: ServiceInstances, passwords: Passwords, tasks: Tasks) -> None:
        self._services = services
        self._passwords = passwords
        self._tasks = tasks

    async def check(self, request: IRequest, service_id: str) -> None:
        """Ask for the password that the service's definition has, else for the server's.

        Without any configured nothing is asked.

        :raises PasswordRequired: it is missing or wrong.
        """
        instance = await self._services.peek(service_id)
        name = "" if instance is None else instance.name
        header = request.getHeader(b"authorization")
        self._passwords.check(header, name)

    async def whole(self, request: IRequest, what: str, work: Coroutine[Any, Any, T]) -> T:
        """Do something with a request's form to its end, then close the form's files.

        To the end also when the client is gone: files are read while it works.
        """
        form = form_of(request)

        async def run() -> T:
            try:
                return await work
            finally:
                form.close()

        return await self._tasks.finish(what, run())

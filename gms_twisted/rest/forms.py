"""What a request carries and who sends it, as the front door left them on it.

The body has been read, judged and turned into a
:class:`gms_twisted.domain.values.Form` before any route runs; here it is only
given its type.
"""

from __future__ import annotations

from typing import cast

from twisted.web.iweb import IRequest

from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.values import Form
from gms_twisted.http.interfaces import CallerInfo, ICaller, IForm

HOPS = "X-Notification-Hops"
_MAX_HOPS = 1_000_000


def form_of(request: IRequest) -> Form:
    """The fields of query and body."""
    return cast(Form, IForm(request))


def caller_of(request: IRequest) -> CallerInfo:
    """The user, the address, whether it is internal."""
    return cast(CallerInfo, ICaller(request))


def hops_of(request: IRequest) -> int:
    """How many events in a row led to this request, as its header says.

    :raises InvalidRequest: it is no number, or none that could be true.
    """
    text = cast("str | None", request.getHeader(HOPS))
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) <= _MAX_HOPS):
        raise InvalidRequest(f"{HOPS} must be a whole number.", HOPS)
    return int(text)

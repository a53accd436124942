"""What a request carries and who sends it, as the front door left them on it.

The body has been read, judged and turned into a
:class:`gms_twisted.domain.values.Form` before any route runs; here it is only
given its type.
"""

from __future__ import annotations

from typing import cast

from twisted.web.iweb import IRequest

from gms_twisted.domain.values import Form
from gms_twisted.http.interfaces import CallerInfo, ICaller, IForm


def form_of(request: IRequest) -> Form:
    """The fields of query and body."""
    return cast(Form, IForm(request))


def caller_of(request: IRequest) -> CallerInfo:
    """The user, the address, whether it is internal."""
    return cast(CallerInfo, ICaller(request))

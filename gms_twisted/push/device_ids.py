"""Device ids that gateways have given out: what they can look like.

Spec: Notification API, "deviceId"; hardening N10.
"""

from __future__ import annotations

import re

from gms_twisted.domain.errors import InvalidRequest

MAX_LENGTH = 4096
_TOKEN = re.compile(r"[^\x00-\x20\x7f-\xa0\ud800-\udfff\u2028\u2029]+")


def check_token(device_id: str) -> None:
    """See that this may be a registration id: no blanks, no control characters.

    :raises InvalidRequest: it cannot.
    """
    check_text(device_id)
    if not _TOKEN.fullmatch(device_id):
        raise InvalidRequest("deviceId has blanks or control characters.", "deviceId")


def check_text(device_id: str) -> None:
    """See that there is one, of bearable length.

    :raises InvalidRequest: there is not.
    """
    if not device_id:
        raise InvalidRequest("deviceId is missing.", "deviceId")
    if len(device_id) > MAX_LENGTH:
        raise InvalidRequest(f"deviceId has more than {MAX_LENGTH} characters.", "deviceId")

"""pywebpush against our simulated push service: ``ORIGIN CA_FILE KEY_FILE``."""

from __future__ import annotations

import json
import sys

import requests
from pywebpush import WebPushException, webpush  # type: ignore[import-untyped]  # has none


def say(name: str, fine: bool, detail: object) -> None:
    """Print one check's result."""
    print(json.dumps({"name": name, "fine": fine, "detail": str(detail)}))


def main(origin: str, ca_file: str, key_file: str) -> None:
    """Subscribe, send one, and one to nobody."""
    session = requests.Session()
    session.verify = ca_file
    # Else a list of authorities in the environment counts instead.
    session.trust_env = False
    subscription = session.post(f"{origin}/subscribe", timeout=10).json()

    def send() -> int:
        try:
            answer = webpush(
                subscription,
                "from pywebpush \u00e9",
                vapid_private_key=key_file,
                vapid_claims={"sub": "mailto:ops@example.com"},
                ttl=60,
                requests_session=session,
                timeout=10,
            )
        except WebPushException as error:
            return int(error.response.status_code) if error.response is not None else 0
        return int(answer.status_code)

    status = send()
    say("pywebpush: a message", status == 201, status)
    subscription["endpoint"] = f"{origin}/push/999"
    status = send()
    say("pywebpush: a subscription that is gone", status == 410, status)


if __name__ == "__main__":
    main(*sys.argv[1:])

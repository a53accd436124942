"""aioapns against our simulated service: ``PORT CA_FILE KEY_FILE KEY_ID TEAM``."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys

from aioapns import APNs, NotificationRequest


def say(name: str, fine: bool, detail: object) -> None:
    """Print one check's result."""
    print(json.dumps({"name": name, "fine": fine, "detail": str(detail)}))


async def main(port: str, ca_file: str, key_file: str, key_id: str, team: str) -> None:
    """Send one, fifty at once, and one to a bad token."""
    with open(key_file, encoding="ascii") as file:
        key = file.read()
    context = ssl.create_default_context(cafile=ca_file)
    apns = APNs(key=key, key_id=key_id, team_id=team, topic="com.example.app", ssl_context=context)
    apns.pool.protocol_class.APNS_SERVER = "localhost"
    apns.pool.protocol_class.APNS_PORT = int(port)

    def request(text: str, token: str = "0" * 64) -> NotificationRequest:
        return NotificationRequest(token, {"aps": {"alert": text}, "message": text})

    one = await apns.send_notification(request("from aioapns"))
    say("aioapns: one notification", one.is_successful, one.description)
    many = await asyncio.gather(*(apns.send_notification(request(f"n{n}")) for n in range(50)))
    say("aioapns: fifty at once", all(one.is_successful for one in many), many[-1].description)
    bad = await apns.send_notification(request("x", "abcd"))
    say("aioapns: a bad token is refused", bad.description == "BadDeviceToken", bad.description)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

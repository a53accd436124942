"""Identifiers, each with a type of its own so that none travels as another."""

from __future__ import annotations

from typing import NewType

AreaId = NewType("AreaId", str)
"""A storage area.  Spec: Storage API."""

ServiceId = NewType("ServiceId", str)
"""What ``POST /genesys/1/service/NAME`` creates.  Spec: Service API."""

BookingId = NewType("BookingId", str)
"""An access number given out for a service, a UUID."""

ClientId = NewType("ClientId", str)
"""A Bayeux session, 25 characters ``[0-9a-z]``.  Bayeux: clientId."""

GmsUser = NewType("GmsUser", str)
"""An end user, from the header ``gms_user``; opaque, 1 to 128 bytes."""

ChatSessionId = NewType("ChatSessionId", str)
"""A chat at the chat server, 16 characters.  Spec: Chat API, chatSessionId."""

ChatUserId = NewType("ChatUserId", str)
"""A flex user at the chat server, 16 hex digits.  Spec: Chat API, userId."""

FileId = NewType("FileId", str)
"""A file kept in the store."""

AgentName = NewType("AgentName", str)
"""An agent's log-in name at the desk; lower case, 1 to 64 characters."""

SubscriptionId = NewType("SubscriptionId", str)
"""A subscription of the Notification API, a UUID."""

DeviceId = NewType("DeviceId", str)
"""Where a notification goes: a device token, a URL, a session id.  Spec: ``deviceId``."""

NodeId = NewType("NodeId", int)
"""The number of a process in a cluster, option ``server/node_id``."""

"""The ways to devices: one transport per notification type, one sender per group of credentials.

Spec: Push Notification Service.  Enter at ``senders.py``, which finds the sender; a
transport makes single attempts, a sender queues, tries again and backs off.  Knows
gateways; does not know subscriptions, filters, languages.
"""

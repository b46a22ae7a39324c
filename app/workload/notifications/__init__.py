"""Notifications: what a person is waiting to see, once per event, on the site and, where the kind says so, by mail.

Promise: an event has one notification for one person, however often it is published, delivered or killed on the way: the event follows from
the kind and its context, and not from the job. Limit: the mail is at least once, under the same Message-ID.
Use: ``publish("notifications.user_notification", user_id=…, kind="campaign_finished", context={…})``, ``GET /api/notifications``.
``kinds.KINDS`` lists the kinds, what their context holds and what tells one event from another.
Stores: ``Notification``.
"""

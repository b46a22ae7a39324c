"""Mailings: a campaign mails many people, each of them once; and one mail to one user, once per event.

Promise: nobody gets a mail twice, whatever is retried, redelivered, killed or lost on the way, and everybody gets one whose mail can be had.
One bad recipient stops nobody else. ``models.Mail`` draws how.
Limit: SMTP and SES cannot be asked what they have accepted. A run that dies in the moment between the server's yes and our note of it leaves
one mail of which nobody knows: it is ``uncertain``, is not sent again, and a person decides. That is one mail for each run that dies, and none
with the local files, which can be asked. What happens to a mail later, such as a bounce, is not heard of.
Use: ``services.create_campaign(…)`` and ``services.start``, ``POST /api/mailings``; for one user
``event_mails.request_mail(…)``, ``POST /api/mailings/mails``, or within a task
``publish("mailings.send_templated_email", user_id=…, template_id="apology", event="apology:1815", context={…})``.
``letters.TEMPLATES`` lists the templates.
Stores: ``Campaign``, ``Mail``, ``Suppression``; how far a campaign is, by ``app.engine.progress``.
"""

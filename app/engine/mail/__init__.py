"""One mail is given to the mail server, and what became of it is said in four words.

Promise: after ``Post.send`` the server has the mail, or it certainly has not (``MailUnavailable``, ``MailDeferred``, ``MailRefused``), or nobody
can know (``MailUncertain``): never is the last one mistaken for one of the others. SMTP, SES and the local files answer alike.
Limit: what the server does with the mail later, such as a bounce, is not heard of. Only the local files can be asked afterwards: ``was_accepted``.
Use: ``with Post() as post: post.send(mail)`` for many mails over one connection, ``send(mail)`` for one, and
``send_unless_accepted(mail, since)`` for one that an earlier run may have sent before it died. ``message_id("payment-17")`` is a
Message-ID that stays the same however often the mail is sent.
Stores: nothing.
Emits: nothing.
"""

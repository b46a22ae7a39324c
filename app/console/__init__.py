"""What operators see: one page that answers "is everything all right?".

Promise: each source (SQS and CloudWatch, worker records, ledger, database) is read on its own; one that fails or hangs
costs its section and never the page, and however many people look, each is read at most once a second and process.
Limit: figures are SQS's approximate ones, and the age of a queue's oldest message is CloudWatch's, up to three minutes late.
Use: ``path("console/", include("app.console.urls"))``; for staff only, everybody else is sent to the login or gets a 403.
Stores: nothing. Emits: nothing.
"""

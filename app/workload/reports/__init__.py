"""Reports: what was sold, returned and spent, as CSV, XLSX and PDF.

Promise: a report that was asked for is made in the end, whatever is killed, interrupted or delivered twice on the way, and goes on where it
stopped: after each part of a source, and after each file. Memory stays small however many rows there are. A run that was overtaken changes
no file of the one that came after it. Each active department has one report a day. After 90 days a report and its files are deleted.
Limit: what is booked into a period while its report is being read may be missing in it. One currency.
Use: ``services.request_report(…)``, ``POST /api/reports``; ``python -m app.manage record_sample_sales`` for something to report about.
Stores: ``Department``, ``Sale``, ``Return``, ``Expense``, ``Report``, ``ReportPart``; files in Django's storage under ``reports/<id>/``.
"""

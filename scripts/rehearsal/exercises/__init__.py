"""Jobs that do everything which a job may do in AWS: a user's own workload, as far as roles are concerned.

The shop's jobs do not return large results, run for minutes or send to every queue; those of others will. In the rehearsal only:
``scripts.rehearsal.settings`` adds this app to the installed ones.
"""

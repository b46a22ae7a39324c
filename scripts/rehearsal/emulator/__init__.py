"""The emulated AWS of a rehearsal: ministack, with IAM enforced, in a process of its own.

Promise: every decision of its IAM about a role's call is written down, once for each principal, action, resource and outcome; the same
IAM judges those calls again under other policies, without the calls (``judge``).
Limit: it is as right as ministack is. It runs with packages of its own (``requirements.txt`` beside this folder), because ministack
holds botocore to another version than the application.
Use: ``python -m scripts.rehearsal.emulator --port N --plain-port M --decisions FILE`` with ministack's variables in the environment;
``python -m scripts.rehearsal.emulator.judge <questions >answers``.
Stores: the file of decisions; everything else is in memory.
"""

"""Millrace: background jobs on SQS. Start reading at ``app/topology``."""

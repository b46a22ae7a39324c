"""Gunicorn's settings: ``gunicorn --config python:app.config.gunicorn``."""

from app.config.environment import read_environment

_environment = read_environment()

bind = _environment.web_bind
workers = _environment.web_processes
threads = _environment.web_threads
worker_class = "gthread"
#: Import once, fork afterwards: half the memory, and a broken import stops the master instead of looping.
preload_app = True
#: The heartbeat of each process; the default directory is on the read-only root.
worker_tmp_dir = str(_environment.pulse_directory)
timeout = 30
graceful_timeout = 20
#: Longer than the ALB's 60 s, or it would reuse connections that we have just closed.
keepalive = 75
accesslog = None
#: Its socket lies in the home directory, which is read-only in the image and shared by clones on a laptop.
control_socket_disable = True

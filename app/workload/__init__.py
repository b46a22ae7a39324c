"""What the platform is used for here: a sample shop. Delete this folder and put your own apps in ``app/config/workload.py``."""

"""Is a service on this machine healthy, as its policy understands it. Needs no Django, so that asking often costs little."""

import http.client
from pathlib import Path

from app.engine.pulse import pulse_age
from app.topology import HttpHealth, ServicePolicy


def problem_of(service: ServicePolicy, *, address: str, pulse_directory: Path) -> str | None:
    """Why the service is not healthy, or ``None``. ``address`` is host:port of the web service on this machine."""
    if isinstance(service.health, HttpHealth):
        host, _, port = address.rpartition(":")
        is_any = host in ("", "0.0.0.0", "[::]")  # noqa: S104 — compared, not bound
        connection = http.client.HTTPConnection("127.0.0.1" if is_any else host, int(port), timeout=service.health.timeout.total_seconds())
        try:
            connection.request("GET", service.health.path)
            status = connection.getresponse().status
        except OSError as error:
            return f"GET {service.health.path}: {error}"
        finally:
            connection.close()
        return None if status == http.client.OK else f"GET {service.health.path}: {status}"
    age = pulse_age(pulse_directory, service.name)
    if age is None:
        return "no pulse yet"
    return None if age <= service.health.max_age else f"last pulse {age.total_seconds():.0f} s ago"

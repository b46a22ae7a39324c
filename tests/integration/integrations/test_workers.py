"""The rows of the workload by real workers: calls through the API, and the users of the partner."""

import json
from typing import Any

from tests.integration.integrations.conftest import PAYLOAD
from tests.support.eventually import eventually


def test_calls_and_users_travel_through_real_queues_and_workers(stack: Any, partner: Any) -> None:
    stack.network.habits(duplicates=0)
    stack.start("web", "worker-default")

    def request() -> str:
        answer = stack.request("POST", "/api/integrations/calls", {"endpoint": "shipping_quote", "payload": PAYLOAD})
        assert answer.status == 201, answer
        return str(answer.body["id"])

    def told(call: str) -> dict[str, Any]:
        body: dict[str, Any] = stack.request("GET", f"/api/integrations/calls/{call}").body
        return body

    def asked(call: str) -> int:
        return len([entry for entry in partner.journal("quote") if entry["idempotency_key"] == f"call-{call}"])

    good = request()
    eventually(lambda: told(good)["state"], "succeeded", within=30)
    assert (told(good)["answer"]["currency"], told(good)["attempts"], asked(good)) == ("eur", 1, 1)

    partner.fault("quote", "error_500", times=50)
    failing = [request() for _ in range(6)]
    eventually(lambda: json.loads(stack.manage("breakers", "list", "--json").stdout)[0]["state"], "open", within=30)
    late = request()
    eventually(lambda: told(late)["state"], "postponed", within=20)
    assert (told(late)["attempts"], asked(late)) == (0, 0)
    # Those under way when it opened may have gone on.
    assert 5 <= sum(map(asked, failing)) <= 5 + 3
    breakers = {one["name"]: one["state"] for one in stack.request("GET", "/api/integrations/breakers").body["items"]}
    assert breakers == {"partner-shipping": "open", "partner-directory": "closed"}

    sync = "from django.db import transaction\nfrom app.engine.outbox.publisher import publish\nwith transaction.atomic():\n    publish('integrations.sync_user_data')"
    assert stack.python(sync).returncode == 0
    eventually(lambda: stack.query("SELECT count(*) >= 25 FROM integrations_partneruser"), [(True,)], within=40)
    assert stack.query("SELECT name, email FROM integrations_partneruser WHERE partner_id = 'u-0'") == [("Ada", "ada0@example.com")]

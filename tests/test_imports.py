"""What a worker loads, and what only when somebody needs it: that would be a quarter of its memory."""

import subprocess
import sys

HEAVY = ("numpy", "shapely", "pyld", "lxml", "requests", "aiomqtt", "paho", "pyarrow", "typer", "rich")
_LATE = """
import sys
import broker.main.worker
from broker.core import subscription
from broker.core.jsonld.context import core
from broker.notify.index import Index
from broker.ports.changes import SubscriptionChanges
body = {"type": "Subscription", "entities": [{"type": "T"}], "notification": {"endpoint": {"uri": "http://x.y/z"}}}
read = subscription.read(body, core(), "urn:x:s", "2026-01-01T00:00:00")
Index().update(SubscriptionChanges(1, [read]))
print(*sys.modules)
"""


def test_a_worker_of_entities_and_subscriptions_loads_nothing_heavy() -> None:
    answer = subprocess.run([sys.executable, "-c", _LATE], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    assert "aiohttp" in loaded
    assert not loaded.intersection(HEAVY)

"""The irrigation app. It uses nothing but the broker's API.

It subscribes to dry soil, to wet soil and to the weather, and writes a valve's `command` back: open when a
zone is dry, at night and with no rain in sight; closed as soon as the zone has had enough.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from seeds.demo.client import Client, observed
from seeds.demo.clock import START, local_hour, said
from seeds.demo.listener import Listener

DRY, PARCHED, WET = 0.20, 0.16, 0.27  # volumetric water content, in parts per one
NIGHT_FROM, NIGHT_TO = 21, 8  # local hours: people have gone, and little evaporates
PATIENCE = 1.0  # seconds that the replay waits for a notification
LIKELY = 0.5  # the chance of rain from which on watering is put off
SUBSCRIPTION = "urn:ngsi-ld:Subscription:SaintQuentin:Irrigation"


class Decision(StrEnum):
    """The decision about a dry zone."""

    OPEN = "open"
    WAIT_FOR_NIGHT = "put off until the night"
    WAIT_FOR_RAIN = "put off because rain is coming"


@dataclass
class Sky:
    """The last weather that the app was notified of."""

    rain: float = 0.0
    chance: float = 0.0

    @property
    def wet(self) -> bool:
        return self.rain > 0 or self.chance >= LIKELY


def decide(moisture: float, when: datetime, sky: Sky) -> Decision:
    """The decision about a dry zone. A parched zone is watered at once, unless it rains."""
    hour = local_hour(when)
    if moisture < PARCHED and not sky.rain:
        return Decision.OPEN
    if sky.wet:
        return Decision.WAIT_FOR_RAIN
    return Decision.OPEN if hour >= NIGHT_FROM or hour < NIGHT_TO else Decision.WAIT_FOR_NIGHT


class Irrigation:
    """The app. It reads its state from the broker when it starts, so it may be restarted."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.sky = Sky()
        self.valves: dict[str, str] = {}  # zone → valve
        self.commands: dict[str, str] = {}  # valve → its last command
        self.waiting: dict[str, Decision] = {}  # zone → why it is not watered yet
        self.decisions: Counter[Decision] = Counter()
        self.news = asyncio.Condition()
        self.known = START  # the time of the last weather it was notified of
        self.latest: deque[str] = deque(maxlen=3)  # the latest decisions, for the dashboard

    async def learn(self) -> None:
        """Reads from the broker which valve waters which zone, and the last command of each valve."""
        found = await self.client.get("/entities", type="Device", q="command", limit=100)
        for valve in found.body:
            self.valves[valve["controlledAsset"]["object"]] = valve["id"]
            self.commands[valve["id"]] = valve["command"]["value"]

    async def subscribe(self, listener: Listener) -> None:
        for subscription in subscriptions(listener.url):
            await self.client.forget(f"/subscriptions/{subscription['id']}")
            await self.client.post("/subscriptions", subscription)

    async def run(self, listener: Listener) -> None:
        """Handles notifications until cancelled."""
        async for notification in listener.notifications():
            for entity in notification["data"]:
                await self.react(entity)

    async def heard(self, when: datetime) -> None:
        """Waits, 1 s at most, until the app knows the weather of that time.

        So the replay waits for notifications.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE), self.news:
                await self.news.wait_for(lambda: self.known >= when)

    async def react(self, entity: dict[str, Any]) -> None:
        if "precipitation" in entity:
            await self.weather(entity["precipitation"])
        elif "precipitationProbability" in entity:
            self.sky.chance = entity["precipitationProbability"]["value"]
        else:
            await self.soil(entity["refGreenspace"]["object"], entity["soilMoistureVwc"])

    async def weather(self, precipitation: dict[str, Any]) -> None:
        async with self.news:
            self.sky.rain = precipitation["value"]
            self.known = datetime.fromisoformat(precipitation["observedAt"])
            self.news.notify_all()

    async def soil(self, zone: str, moisture: dict[str, Any]) -> None:
        """Handles a probe of a zone that is too dry or wet enough."""
        when = datetime.fromisoformat(moisture["observedAt"])
        if moisture["value"] > WET:
            await self.close(zone, when)
        elif moisture["value"] < DRY and self.commands[self.valves[zone]] == "close":
            await self.consider(zone, decide(moisture["value"], when, self.sky), when)

    async def consider(self, zone: str, decision: Decision, when: datetime) -> None:
        """Opens the valve, or records why not. A zone that keeps waiting is counted once."""
        if self.waiting.get(zone) != decision:
            self.decisions[decision] += 1
            self.note(zone, decision, when)
        if decision is Decision.OPEN:
            self.waiting.pop(zone, None)
            await self.tell(self.valves[zone], "open", when)
        else:
            self.waiting[zone] = decision

    async def close(self, zone: str, when: datetime) -> None:
        """Closes the valve of a zone, and writes the day of watering to the zone."""
        self.waiting.pop(zone, None)
        if self.commands[self.valves[zone]] == "open":
            self.note(zone, "close", when)
            await self.tell(self.valves[zone], "close", when)
            watered = observed(when.date().isoformat(), when)
            await self.client.post(f"/entities/{zone}/attrs", {"dateLastWatering": watered})

    def note(self, zone: str, what: str, when: datetime) -> None:
        name = zone.removeprefix("urn:ngsi-ld:AgriParcel:SaintQuentin:").replace(":", ", ")
        self.latest.append(f"{said(when)}  {name}: {what}")

    async def tell(self, valve: str, command: str, when: datetime) -> None:
        self.commands[valve] = command
        await self.client.patch(f"/entities/{valve}/attrs/command", observed(command, when))


def subscriptions(url: str) -> list[dict[str, Any]]:
    """The app's subscriptions: to dry soil, to wet soil, and to the weather."""
    soil = ["soilMoistureVwc", "refGreenspace"]
    return [
        subscription(url, "DrySoil", "GreenspaceRecord", soil, q=f"soilMoistureVwc<{DRY}"),
        subscription(url, "WetSoil", "GreenspaceRecord", soil, q=f"soilMoistureVwc>{WET}"),
        subscription(url, "Rain", "WeatherObserved", ["precipitation"]),
        subscription(url, "Forecast", "WeatherForecast", ["precipitationProbability"]),
    ]


def subscription(url: str, name: str, kind: str, attributes: list[str], **more: str) -> dict[str, Any]:
    """A subscription that sends these attributes when the first of them changes."""
    return {
        "id": f"{SUBSCRIPTION}:{name}",
        "type": "Subscription",
        "subscriptionName": f"Irrigation: {name}",
        "entities": [{"type": kind}],
        "watchedAttributes": attributes[:1],
        **more,
        "notification": {"attributes": attributes, "endpoint": {"uri": url, "accept": "application/json"}},
    }

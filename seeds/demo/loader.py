"""Loads the seeds by batch upsert, which can be repeated, and counts the entities in the broker."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from seeds.demo.city import City, Entity
from seeds.demo.client import Client

BATCH = 100
KINDS = {
    "green spaces": "Garden,AgriParcel",
    "devices": "Device,WeatherObserved,WeatherForecast",
    "street lights": "Streetlight,StreetlightGroup",
    "car parks": "OffStreetParking",
}


async def load(client: Client, city: City, console: Console) -> None:
    """Writes all entities of the city to the broker, as they are at the start of the story."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Loading the seeds", total=len(city.entities))
        for batch in batches(city.entities):
            await client.post("/entityOperations/upsert", batch)
            progress.advance(task, len(batch))


def batches(entities: tuple[Entity, ...]) -> list[list[Entity]]:
    return [list(entities[start : start + BATCH]) for start in range(0, len(entities), BATCH)]


async def counts(client: Client) -> dict[str, int]:
    """The number of entities of each kind in the broker."""
    return {name: await count(client, types) for name, types in KINDS.items()}


async def count(client: Client, types: str) -> int:
    reply = await client.get("/entities", type=types, count="true", limit=1)
    return int(reply.headers["NGSILD-Results-Count"])

"""Loads the seeds: all entities by batch upsert, so that it can be repeated, and counts what is there."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from seeds.demo.city import DEPARTMENTS, City, Entity, of_type
from seeds.demo.client import Client

BATCH = 100


async def load(client: Client, city: City, console: Console) -> None:
    """Put the city into the broker, as it stands when the story begins."""
    await forget_last_run(client, city)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Loading the seeds", total=len(city.entities))
        for batch in batches(city.entities):
            await client.post("/entityOperations/upsert", batch)
            progress.advance(task, len(batch))


def batches(entities: tuple[Entity, ...]) -> list[list[Entity]]:
    return [list(entities[start : start + BATCH]) for start in range(0, len(entities), BATCH)]


async def forget_last_run(client: Client, city: City) -> None:
    """The same week may have been replayed here before: its meter readings would be counted twice."""
    for meter in of_type(city.entities, "WaterConsumptionObserved"):
        await client.forget(f"/temporal/entities/{meter['id']}")


async def departments(client: Client) -> dict[str, int]:
    """How many entities each department has, found by its scope."""
    return {name: await entities_of(client, name) for name in DEPARTMENTS}


async def entities_of(client: Client, department: str) -> int:
    scope = f"/SaintQuentin/{department}/#,/SaintQuentin/{department}"
    reply = await client.get("/entities", type="*", scopeQ=scope, count="true", limit=1)
    return int(reply.headers["NGSILD-Results-Count"])

"""The one table of what the broker answers, and how a raw path finds its place in it.

The path is matched as it came: nothing is decoded or normalised before, so `%2e%2e` is a name and `//`
has an empty part between its slashes. Every resource exists with and without a final slash.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from broker.api import (
    attrs,
    batch,
    contexts,
    deliveries,
    entities,
    health,
    history,
    info,
    openapi,
    subscriptions,
    temporal,
    types,
)
from broker.api.accept import TAKEN, taken
from broker.api.call import Call

Handler = Callable[[Call], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Resource:
    """A path template such as `/entities/{entityId}`, and its handlers by method.

    `is_finished`: what a handler has begun is done to its end, even if the client leaves. Otherwise it is
    cancelled then: reads end, and writes that no commit has begun to write are dropped.
    """

    template: str
    methods: dict[str, Handler]
    is_finished: bool = False

    def has_body(self, method: str) -> bool:
        """Whether requests of this method have a body."""
        return method in TAKEN and not self.template.endswith("/replay")


def allowed(resource: Resource) -> str:
    """The Allow header of a resource (6.3.2). What only says that an id is missing is no method of it."""
    return ", ".join(
        sorted(m for m, handler in resource.methods.items() if handler is not entities.without_id)
    )


def described(resource: Resource) -> dict[str, str]:
    """What OPTIONS tells of a resource: its methods, and which bodies those take that have one (RFC 5789)."""
    methods = allowed(resource)
    headers = {"Allow": methods}
    for method in filter(resource.has_body, ("POST", "PATCH")):
        headers |= taken(method) if method in methods.split(", ") else {}
    return headers


_API = "/ngsi-ld/v1"
_OWN = "/eridanus/v1/subscriptions/{subscriptionId}"
ROUTES = (
    Resource(
        f"{_API}/entities",
        {
            "GET": entities.query_entities,
            "POST": entities.create_entity,
            "DELETE": entities.purge_entities,
            "PUT": entities.without_id,
            "PATCH": entities.without_id,
        },
    ),
    Resource(
        f"{_API}/entities/{{entityId}}",
        {
            "GET": entities.retrieve_entity,
            "PUT": entities.replace_entity,
            "PATCH": entities.merge_entity,
            "DELETE": entities.delete_entity,
        },
    ),
    Resource(
        f"{_API}/entities/{{entityId}}/attrs", {"POST": attrs.append_attrs, "PATCH": attrs.update_attrs}
    ),
    Resource(
        f"{_API}/entities/{{entityId}}/attrs/{{attrId}}",
        {
            "PATCH": attrs.partial_update_attr,
            "PUT": attrs.replace_attr,
            "DELETE": attrs.delete_attr,
        },
    ),
    Resource(f"{_API}/entityOperations/create", {"POST": batch.batch_create}),
    Resource(f"{_API}/entityOperations/upsert", {"POST": batch.batch_upsert}),
    Resource(f"{_API}/entityOperations/update", {"POST": batch.batch_update}),
    Resource(f"{_API}/entityOperations/merge", {"POST": batch.batch_merge}),
    Resource(f"{_API}/entityOperations/delete", {"POST": batch.batch_delete}),
    Resource(f"{_API}/entityOperations/query", {"POST": entities.query_batch}),
    Resource(
        f"{_API}/subscriptions",
        {"GET": subscriptions.query_subscriptions, "POST": subscriptions.create_subscription},
        is_finished=True,
    ),
    Resource(
        f"{_API}/subscriptions/{{subscriptionId}}",
        {
            "GET": subscriptions.retrieve_subscription,
            "PATCH": subscriptions.update_subscription,
            "DELETE": subscriptions.delete_subscription,
        },
        is_finished=True,
    ),
    Resource(
        f"{_API}/jsonldContexts",
        {"GET": contexts.list_contexts, "POST": contexts.add_context},
        is_finished=True,
    ),
    Resource(
        f"{_API}/jsonldContexts/{{contextId}}",
        {"GET": contexts.serve_context, "DELETE": contexts.delete_context},
        is_finished=True,
    ),
    Resource(f"{_API}/types", {"GET": types.retrieve_types}),
    Resource(f"{_API}/types/{{type}}", {"GET": types.retrieve_type}),
    Resource(f"{_API}/attributes", {"GET": types.retrieve_attributes}),
    Resource(f"{_API}/attributes/{{attrId}}", {"GET": types.retrieve_attribute}),
    Resource(f"{_API}/temporal/entityOperations/query", {"POST": temporal.query_temporal_batch}),
    Resource(f"{_API}/temporal/entities", {"GET": temporal.query_temporal, "POST": history.upsert_temporal}),
    Resource(
        f"{_API}/temporal/entities/{{entityId}}",
        {"GET": temporal.retrieve_temporal, "DELETE": history.delete_temporal},
    ),
    Resource(f"{_API}/temporal/entities/{{entityId}}/attrs", {"POST": history.add_temporal_attrs}),
    Resource(
        f"{_API}/temporal/entities/{{entityId}}/attrs/{{attrId}}", {"DELETE": history.delete_temporal_attr}
    ),
    Resource(
        f"{_API}/temporal/entities/{{entityId}}/attrs/{{attrId}}/{{instanceId}}",
        {"PATCH": history.modify_instance, "DELETE": history.delete_instance},
    ),
    Resource(
        f"{_OWN}/deliveries",
        {"GET": deliveries.query_deliveries, "DELETE": deliveries.delete_deliveries},
        is_finished=True,
    ),
    Resource(f"{_OWN}/explain", {"GET": deliveries.explain_subscription}),
    Resource(f"{_OWN}/deliveries/replay", {"POST": deliveries.replay_deliveries}, is_finished=True),
    Resource(f"{_OWN}/deliveries/{{deliveryId}}", {"DELETE": deliveries.delete_deliveries}, is_finished=True),
    Resource(
        f"{_OWN}/deliveries/{{deliveryId}}/replay", {"POST": deliveries.replay_deliveries}, is_finished=True
    ),
    Resource("/openapi.yaml", {"GET": openapi.openapi}),
    Resource(f"{_API}/info/sourceIdentity", {"GET": info.source_identity_information}),
    Resource("/version", {"GET": health.version}),
    Resource("/health/live", {"GET": health.live}),
    Resource("/health/ready", {"GET": health.ready}),
    Resource("/metrics", {"GET": health.metrics}),
)


_Shape = tuple[tuple[int, ...], tuple[int, ...]]  # which parts of a template are fixed, and which are not
_NONE: dict[_Shape, dict[tuple[str, ...], Resource]] = {}


class Router:
    """Finds the resource of a path: by the number of its parts, then by those that are fixed, most first."""

    def __init__(self, resources: tuple[Resource, ...] = ROUTES) -> None:
        self._shapes: dict[int, dict[_Shape, dict[tuple[str, ...], Resource]]] = {}
        for resource in sorted(resources, key=lambda one: one.template.count("{")):
            parts = resource.template.split("/")
            fixed = tuple(n for n, part in enumerate(parts) if not part.startswith("{"))
            variable = tuple(n for n in range(len(parts)) if n not in fixed)
            alike = self._shapes.setdefault(len(parts), {}).setdefault((fixed, variable), {})
            alike[tuple(parts[n] for n in fixed)] = resource

    def find(self, path: str) -> tuple[Resource, tuple[str, ...]] | None:
        """The resource of a raw path, and the variable parts of the path as they came; some may be empty."""
        parts = path.split("/")
        if parts[-1] == "":
            parts.pop()
        for (fixed, variable), alike in self._shapes.get(len(parts), _NONE).items():
            if (resource := alike.get(tuple([parts[n] for n in fixed]))) is not None:
                return resource, tuple([parts[n] for n in variable])
        return None

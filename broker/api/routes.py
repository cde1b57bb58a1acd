"""The route table: every resource of the broker with its handlers, and the router that finds them.

The router matches the raw path. Nothing is decoded or normalised before, so `%2e%2e` is an ordinary segment,
and `//` contains an empty segment. A final slash makes no difference.
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
    registrations,
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

    `is_finished`: handlers run to their end even if the client disconnects. Otherwise they are cancelled:
    reads stop, and writes that are still queued are withdrawn; a commit that has begun goes on. `is_query`:
    its POST only reads.
    """

    template: str
    methods: dict[str, Handler]
    is_finished: bool = False
    is_query: bool = False

    def is_safe(self, method: str) -> bool:
        """Whether a request of this method changes nothing."""
        return method == "GET" or self.is_query

    def has_body(self, method: str) -> bool:
        """Whether requests of this method have a body."""
        return method in TAKEN and not self.template.endswith("/replay")


def allowed(resource: Resource) -> str:
    """The Allow header of a resource (6.3.2).

    Methods whose handler only reports a missing id are left out.
    """
    methods = (method for method, handler in resource.methods.items() if handler is not entities.without_id)
    return ", ".join(sorted(methods))


def described(resource: Resource) -> dict[str, str]:
    """The headers of an OPTIONS response: Allow, and the media types that bodies may have (RFC 5789)."""
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
    Resource(f"{_API}/entityOperations/query", {"POST": entities.query_batch}, is_query=True),
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
        f"{_API}/csourceRegistrations",
        {"GET": registrations.query_registrations, "POST": registrations.create_registration},
        is_finished=True,
    ),
    Resource(
        f"{_API}/csourceRegistrations/{{registrationId}}",
        {
            "GET": registrations.retrieve_registration,
            "PATCH": registrations.update_registration,
            "DELETE": registrations.delete_registration,
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
    Resource(
        f"{_API}/temporal/entityOperations/query", {"POST": temporal.query_temporal_batch}, is_query=True
    ),
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


Route = tuple[Resource, tuple[str, ...]]  # a resource, and the variable segments of the path
# The positions of the fixed and of the variable segments of a template.
_Positions = tuple[tuple[int, ...], tuple[int, ...]]
_NONE: dict[_Positions, dict[tuple[str, ...], Resource]] = {}


class Router:
    """Finds the resource of a path: by the number of segments, then by the fixed ones, most of them first."""

    def __init__(self, resources: tuple[Resource, ...] = ROUTES) -> None:
        self._by_length: dict[int, dict[_Positions, dict[tuple[str, ...], Resource]]] = {}
        for resource in sorted(resources, key=lambda resource: resource.template.count("{")):
            segments = resource.template.split("/")
            fixed = tuple(n for n, segment in enumerate(segments) if not segment.startswith("{"))
            variable = tuple(n for n in range(len(segments)) if n not in fixed)
            candidates = self._by_length.setdefault(len(segments), {}).setdefault((fixed, variable), {})
            candidates[tuple(segments[n] for n in fixed)] = resource

    def find(self, path: str) -> Route | None:
        """The resource of a raw path, and its variable segments, which are not decoded and may be empty."""
        segments = path.split("/")
        if segments[-1] == "":
            segments.pop()
        for (fixed, variable), candidates in self._by_length.get(len(segments), _NONE).items():
            if (resource := candidates.get(tuple([segments[n] for n in fixed]))) is not None:
                return resource, tuple([segments[n] for n in variable])
        return None

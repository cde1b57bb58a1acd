"""Which registrations a request concerns (clauses 5.10.2.4 and 5.12)."""

from dataclasses import dataclass, field, replace

from broker.core import Entity, Json
from broker.core.entity.geometry import positions
from broker.core.federation.registration import Registration
from broker.core.federation.registration_body import EntityInfo, RegistrationInfo, TimeInterval
from broker.core.lang import match, pattern, scope
from broker.core.lang.geo import GeoQuery
from broker.core.lang.scope import ScopeQuery
from broker.core.lang.terms import Q
from broker.core.lang.types import TypeSelection
from broker.core.temporal.window import Window

# Where part of a location may stand in a relation as soon as the whole stands in another one.
_PARTLY = {"within": "intersects", "overlaps": "intersects", "equals": "contains", "disjoint": "within"}


@dataclass(frozen=True, slots=True)
class Spec:
    """What a request is about, as registrations are matched with it. What is None or empty asks for nothing.

    `attrs` (IRIs): of which a source may have one; `csf` is a condition on `Registration.as_entity`.
    """

    types: TypeSelection | None = None
    ids: tuple[str, ...] = ()
    id_pattern: str | None = None
    attrs: frozenset[str] = frozenset()
    geo: GeoQuery | None = None
    scope: ScopeQuery | None = None
    window: Window | None = None
    csf: Q | None = None
    _partly: GeoQuery | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        partly = None
        if self.geo is not None:
            partly = replace(self.geo, relation=_PARTLY.get(self.geo.relation, self.geo.relation))
        object.__setattr__(self, "_partly", partly)

    @property
    def type_names(self) -> frozenset[str] | None:
        """The types (IRIs) of which an EntityInfo has to name one, if it names any; None for all."""
        return None if self.types is None or self.types.is_anything else self.types.names

    def is_met(self, location: Json) -> bool:
        """Whether the geoquery selects a location, or what may be somewhere in it (5.10.2.4)."""
        assert self.geo is not None
        assert self._partly is not None
        if self.geo.relation == "minDistance":
            corners = ({"type": "Point", "coordinates": one} for one in positions(location))
            return any(map(self.geo.selects, corners))
        return self._partly.selects(location) is not (self.geo.relation == "disjoint")


def matching_infos(registration: Registration, spec: Spec) -> tuple[RegistrationInfo, ...]:
    """The elements of its information that the request concerns; none if it does not concern the source."""
    if not _is_in_time(registration, spec.window) or not _is_selected(registration, spec):
        return ()
    return tuple(one for one in registration.body.information if _matches(one, spec))


def _is_in_time(registration: Registration, window: Window | None) -> bool:
    """Sources of current information have no interval, and sources of the past one that meets the window."""
    body = registration.body
    if window is None:
        return body.observation_interval is None and body.management_interval is None
    of_data = window.timeproperty == "observedAt"
    interval = body.observation_interval if of_data else body.management_interval
    return interval is not None and _overlaps(interval, window)


def _overlaps(interval: TimeInterval, window: Window) -> bool:
    start, end = window.bounds
    if window.is_empty:
        return False
    return (end is None or interval.start < end) and (start is None or interval.end >= start)


def _is_selected(registration: Registration, spec: Spec) -> bool:
    """Whether the conditions on the registration itself hold: scope, geoquery and context source query."""
    if spec.scope is not None and not scope.matches(spec.scope, _scopes(registration)):
        return False
    if spec.geo is None and spec.csf is None:
        return True
    entity = registration.as_entity()
    return (spec.csf is None or match.matches(spec.csf, entity)) and (
        spec.geo is None or _is_placed(entity, spec.geo.property, spec)
    )


def _scopes(registration: Registration) -> tuple[str, ...]:
    found = registration.body.scope
    return (found,) if isinstance(found, str) else tuple(found or ())


def _is_placed(entity: Entity, name: str, spec: Spec) -> bool:
    instances = entity["attrs"].get(name, ())
    return any(one["type"] == "GeoProperty" and spec.is_met(one["value"]) for one in instances)


def _matches(info: RegistrationInfo, spec: Spec) -> bool:
    names = info.attrs
    if spec.attrs and names and names.isdisjoint(spec.attrs):
        return False
    return not info.entities or any(_is_asked(one, spec) for one in info.entities)


def _is_asked(info: EntityInfo, spec: Spec) -> bool:
    wanted, types = spec.type_names, info.types
    if wanted is not None and types and wanted.isdisjoint(types):
        return False
    if spec.ids:
        return any(is_of_id(info, one) for one in spec.ids)
    if spec.id_pattern is None or info.id is None:  # two patterns may have an id in common
        return True
    return pattern.compile(spec.id_pattern).search(info.id) is not None


def is_of_id(info: EntityInfo, entity_id: str) -> bool:
    """Whether an EntityInfo may be of the entity of this id; its own id comes before its pattern."""
    if info.id is not None:
        return info.id == entity_id
    return info.id_pattern is None or pattern.compile(info.id_pattern).search(entity_id) is not None

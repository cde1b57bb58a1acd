"""Which sources a request concerns (clauses 4.3.6, 5.10.2.4 and 5.12).

Discovery matches registrations, a distributed operation matches sources. Entities, attributes and csf mean
the same for both. The differences:

| condition  | discovery (`matching_infos`)         | distributed operation (`match`)                        |
|------------|--------------------------------------|--------------------------------------------------------|
| expiry     | the store leaves out what is gone    | judged at the moment                                   |
| geoquery   | the area asked for is there, meets   | an area that is there and cannot meet it rules out     |
| scope      | one of its scopes is selected        | no condition: 5.12 has none                            |
| datasets   | no condition                         | where both name some, one in common                    |
| window     | an interval of its kind that overlaps | so, or no interval, and temporal operations are named |
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from broker.core import Entity, Json, instant
from broker.core.entity.geometry import positions
from broker.core.federation.registration import Registration
from broker.core.federation.registration_body import RegistrationInfo, TimeInterval
from broker.core.federation.source import Match, Source, as_entity
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.lang import match as language
from broker.core.lang import pattern, scope
from broker.core.lang.geo import GeoQuery
from broker.core.lang.pattern import Pattern
from broker.core.lang.scope import ScopeQuery
from broker.core.lang.terms import Q, attributes
from broker.core.lang.types import TypeSelection, any_of
from broker.core.query import Query
from broker.core.selector import Selector
from broker.core.temporal.window import Window

# Where part of a location may stand in a relation as soon as the whole stands in another one.
_PARTLY = {"within": "intersects", "overlaps": "intersects", "equals": "contains", "disjoint": "within"}
# Sources that say nothing of times are asked about the past if they name one of these.
_TEMPORAL = frozenset(("retrieveTemporal", "queryTemporal"))
# What every entity has, or none that can be asked for.
_NO_ATTRS = frozenset({"scope", *(NGSI_LD + name for name in ("createdAt", "modifiedAt", "deletedAt"))})


class InfoEntity(Protocol):
    """An EntityInfo (5.2.8), as it was sent or compiled."""

    @property
    def types(self) -> tuple[str, ...]: ...

    @property
    def id(self) -> str | None: ...

    @property
    def id_pattern(self) -> str | None: ...


class Info(Protocol):
    """A RegistrationInfo (5.2.10), as it was sent or compiled."""

    @property
    def entities(self) -> Sequence[InfoEntity] | None: ...

    @property
    def attrs(self) -> frozenset[str]: ...


_AnyInfo = TypeVar("_AnyInfo", bound=Info)


@dataclass(frozen=True, slots=True)
class Choice:
    """Entities that a request selects. `types`: an EntityInfo has to name one, if it names any; None: any."""

    types: frozenset[str] | None
    ids: tuple[str, ...]
    pattern: Pattern | None

    def includes(self, info: InfoEntity) -> bool:
        """Whether there may be entities that are selected, and that an EntityInfo is of."""
        if self.types is not None and info.types and self.types.isdisjoint(info.types):
            return False
        if self.ids:
            return any(is_of_id(info, entity_id) for entity_id in self.ids)
        # Two patterns may have an id in common.
        return self.pattern is None or info.id is None or self.pattern.search(info.id) is not None


def _choice(types: TypeSelection | None, ids: tuple[str, ...], id_pattern: str | None) -> Choice:
    names = None if types is None or types.is_anything else types.names
    return Choice(names, ids, None if ids or id_pattern is None else pattern.compile(id_pattern))


@dataclass(frozen=True, slots=True)
class Spec:
    """What a request is about, as sources are matched with it. What is None or empty asks for nothing.

    `attrs` (IRIs): of which a source may have one. `csf`: a condition on the registration as an entity.
    `selectors`: entities must match one of them, beside `types`, `ids` and `id_pattern`. `window`: the past
    that is asked about; None: the current state. `datasets`: of which a source has one, if it names any.
    """

    types: TypeSelection | None = None
    ids: tuple[str, ...] = ()
    id_pattern: str | None = None
    attrs: frozenset[str] = frozenset()
    geo: GeoQuery | None = None
    scope: ScopeQuery | None = None
    window: Window | None = None
    csf: Q | None = None
    datasets: frozenset[str] = frozenset()
    selectors: tuple[Selector, ...] = ()
    choice: Choice = field(init=False, repr=False, compare=False)
    choices: tuple[Choice, ...] = field(init=False, repr=False, compare=False)  # of the selectors
    _partly: GeoQuery | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        partly = None
        if self.geo is not None:
            partly = replace(self.geo, relation=_PARTLY.get(self.geo.relation, self.geo.relation))
        object.__setattr__(self, "_partly", partly)
        object.__setattr__(self, "choice", _choice(self.types, self.ids, self.id_pattern))
        choices = tuple(_choice(one.types, one.ids, one.id_pattern) for one in self.selectors)
        object.__setattr__(self, "choices", choices)

    @property
    def type_names(self) -> frozenset[str] | None:
        """The types (IRIs) of which an EntityInfo has to name one, if it names any; None for all."""
        return self.choice.types

    def concerns(self, info: Info) -> bool:
        """Whether it asks for what an element of information is of (5.12)."""
        if self.attrs and info.attrs and info.attrs.isdisjoint(self.attrs):
            return False
        return not info.entities or any(map(self._concerns, info.entities))

    def _concerns(self, info: InfoEntity) -> bool:
        is_chosen = not self.choices or any(choice.includes(info) for choice in self.choices)
        return is_chosen and self.choice.includes(info)

    def is_met(self, location: Json) -> bool:
        """Whether the geoquery selects a location, or what may be somewhere in it (5.10.2.4)."""
        assert self.geo is not None
        assert self._partly is not None
        if self.geo.relation == "minDistance":
            corners = ({"type": "Point", "coordinates": one} for one in positions(location))
            return any(map(self.geo.selects, corners))
        return self._partly.selects(location) is not (self.geo.relation == "disjoint")


def spec_of_query(
    query: Query,
    picked: Iterable[str] = (),
    *,
    datasets: frozenset[str] = frozenset(),
    window: Window | None = None,
) -> Spec:
    """What a query is about; its attributes are those of `attrs`, `q` and the geoquery, and the picked ones.

    `picked`: the attributes (IRIs) that `pick` names; `Query.picked` has them only where one is required.
    """
    attrs = {*query.required_attrs, *query.picked, *picked}
    attrs |= attributes(query.q) if query.q is not None else set()
    attrs |= {query.geo.property} if query.geo is not None else set()
    return Spec(
        query.types,
        query.ids,
        query.id_pattern,
        frozenset(attrs) - _NO_ATTRS,
        query.geo,
        query.scope,
        window,
        query.csf,
        datasets,
        query.selectors,
    )


def spec_of_entity(entity_id: str, types: Iterable[str] = (), attrs: Iterable[str] = ()) -> Spec:
    """What an operation on one entity is about, and on some of its attributes (IRIs; none: all).

    `types` (IRIs): those that the entity is known to have; none: of any type.
    """
    selection = any_of(types)
    return Spec(selection if selection.any_of else None, (entity_id,), attrs=frozenset(attrs))


def match(source: Source, spec: Spec, now: str) -> Match | None:
    """The elements of a source's information that a distributed operation concerns; None if it has none."""
    if source.expires is not None and instant.ceiling(source.expires) <= now:
        return None
    infos = tuple(info for info in source.infos if spec.concerns(info))
    return Match(source, infos) if infos and _may_answer(source, spec) else None


def _may_answer(source: Source, spec: Spec) -> bool:
    """Whether what is said of the source as a whole allows it to have something for the request."""
    if spec.datasets and source.datasets and spec.datasets.isdisjoint(source.datasets):
        return False
    if not _is_in_time(source.observed, source.managed, spec.window) and not _tells_of_the_past(source, spec):
        return False
    if spec.geo is not None and not all(
        spec.is_met(area) for name, area in source.areas if NGSI_LD + name == spec.geo.property
    ):
        return False
    return spec.csf is None or language.matches(spec.csf, as_entity(source))


def _tells_of_the_past(source: Source, spec: Spec) -> bool:
    is_timeless = source.observed is None and source.managed is None
    return spec.window is not None and is_timeless and not _TEMPORAL.isdisjoint(source.operations)


def matching_infos(registration: Registration, spec: Spec) -> tuple[RegistrationInfo, ...]:
    """The elements of its information that discovery is about; none if it is not about the registration."""
    body = registration.body
    if not _is_in_time(body.observation_interval, body.management_interval, spec.window):
        return ()
    infos = tuple(info for info in body.information if spec.concerns(info))
    return infos if infos and _is_selected(registration, spec) else ()


def _is_in_time(observed: TimeInterval | None, managed: TimeInterval | None, window: Window | None) -> bool:
    """Sources of current information have no interval, and sources of the past one that meets the window."""
    if window is None:
        return observed is None and managed is None
    interval = observed if window.timeproperty == "observedAt" else managed
    return interval is not None and _overlaps(interval, window)


def _overlaps(interval: TimeInterval, window: Window) -> bool:
    start, end = window.bounds
    if window.is_empty:
        return False
    return (end is None or interval.start < end) and (start is None or interval.end >= start)


def _is_selected(registration: Registration, spec: Spec) -> bool:
    """Whether the conditions on the registration itself hold: scope, geoquery and context source query."""
    if spec.scope is not None and not scope.matches(spec.scope, registration.scopes):
        return False
    if spec.geo is None and spec.csf is None:
        return True
    entity = registration.as_entity()
    return (spec.csf is None or language.matches(spec.csf, entity)) and (
        spec.geo is None or _is_placed(entity, spec.geo.property, spec)
    )


def _is_placed(entity: Entity, name: str, spec: Spec) -> bool:
    instances = entity["attrs"].get(name, ())
    return any(one["type"] == "GeoProperty" and spec.is_met(one["value"]) for one in instances)


def is_of_id(info: InfoEntity, entity_id: str) -> bool:
    """Whether an EntityInfo may be of the entity of this id; its own id comes before its pattern."""
    if info.id is not None:
        return info.id == entity_id
    return info.id_pattern is None or pattern.compile(info.id_pattern).search(entity_id) is not None

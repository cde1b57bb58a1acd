"""What stands in the way of a proxied registration (clauses 4.3.6.3, 5.9.2.4, 5.9.3.4).

An exclusive registration is the only proxied one of its attributes of its entities; of what a proxied
registration is of, nothing is stored here when it is made. Redirects may overlap.
"""

from collections.abc import Iterator

from broker.core.federation.matching import is_of_id
from broker.core.federation.registration import Registration
from broker.core.federation.registration_body import EntityInfo, RegistrationInfo
from broker.core.federation.source import PROXIED
from broker.core.lang.types import TypeSelection, any_of
from broker.core.query import Query
from broker.core.selector import Selector

_ANYTHING = TypeSelection(((),))


def clash(one: Registration, other: Registration) -> str | None:
    """Why these two cannot both be registered; None if they can."""
    if "exclusive" not in (one.mode, other.mode) or not {one.mode, other.mode} <= {*PROXIED}:
        return None
    exclusive, second = (one, other) if one.mode == "exclusive" else (other, one)
    for info in exclusive.body.information:
        for entity in info.entities or ():
            if any(_has_part(second_info, entity, info.attrs) for second_info in second.body.information):
                return f"{other.id} is {other.mode}, and of attributes of {entity.id}, too"
    return None


def _has_part(info: RegistrationInfo, entity: EntityInfo, attrs: frozenset[str]) -> bool:
    """Whether an element of information is of any of these attributes of one entity."""
    if info.attrs and info.attrs.isdisjoint(attrs):
        return False
    return not info.entities or any(
        (not one.types or not entity.types or not set(one.types).isdisjoint(entity.types))
        and is_of_id(one, entity.id or "")
        for one in info.entities
    )


def collisions(registration: Registration) -> Iterator[Query]:
    """Selections of local entities, none of which may be there; nothing unless it is proxied."""
    if registration.mode in PROXIED:
        for info in registration.body.information:
            selectors = tuple(_selector(one, registration.mode) for one in info.entities or ())
            yield Query(selectors=selectors, attrs=tuple(sorted(info.attrs)), limit=1)


def _selector(one: EntityInfo, mode: str) -> Selector:
    """The entities of an EntityInfo; an id alone tells, where the registration is exclusive."""
    types = one.types if mode == "redirect" else ()
    ids = (one.id,) if one.id else ()
    selection = any_of(types) if types else _ANYTHING
    return Selector(selection, ids, None if ids else one.id_pattern)

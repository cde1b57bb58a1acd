"""Parameters of requests for evolutions: which instances, in which view (clauses 4.11, 4.21, 6.3.12)."""

from dataclasses import dataclass, replace

from broker.api import params as p
from broker.api.representation import projections
from broker.core.entity.downgrade import Version
from broker.core.errors import BadRequestData, InvalidRequest
from broker.core.jsonld.context import Context
from broker.core.lang import natural
from broker.core.lang.terms import Target
from broker.core.query import Query
from broker.core.temporal import SCOPE, TemporalQuery
from broker.core.temporal.aggregation import Aggregation, parse_methods
from broker.core.temporal.aggregation_periods import parse as parse_duration
from broker.core.temporal.evolution_view import TemporalView
from broker.core.temporal.window import parse, parse_last_n

_WINDOW = ("timerel", "timeAt", "endTimeAt", "timeproperty")
_SHOWN = {
    "options",
    "format",
    "attrs",
    "pick",
    "omit",
    "lang",
    "datasetId",
    "aggrMethods",
    "aggrPeriodDuration",
}
ASPECTS = frozenset({*_WINDOW, "lastN", *_SHOWN})
SELECTION = p.SELECTION | p.ORDER | {"splitEntities"}
_ID = Target((), member="id")
_FORMATS = ("temporalValues", "aggregatedValues", "concise", "normalized")


@dataclass(frozen=True, slots=True)
class Aspects:
    """All of a temporal query but the selection of entities.

    `wanted`: the temporal query without it. `params`: the other parameters, which select the entities.
    `scope`: `attrs` contained `scope`, which is removed from `params`, since it is no attribute in entity
    queries.
    """

    wanted: TemporalQuery
    view: TemporalView
    params: p.Params
    scope: bool = False

    def query(self, entities: Query) -> TemporalQuery:
        """The temporal query of these entities. BadRequestData if their order is not by id (5.7.4.4)."""
        terms = entities.order.terms if entities.order else ()
        if any((term.target, term.distance) != (_ID, False) for term in terms):
            raise BadRequestData("orderBy: expected id; evolutions have no other order")
        attrs = (*entities.attrs, SCOPE) if self.scope else entities.attrs
        return replace(self.wanted, entities=replace(entities, attrs=attrs))


def read_aspects(
    params: p.Params, context: Context, version: Version | None, *, required: bool = False
) -> Aspects:
    """The aspects that parameters ask for. `required`: they must contain a temporal query (5.7.4.4).

    `version`: the older version of the specification to conform to. BadRequestData or InvalidRequest if
    parameters are wrong.
    """
    window = parse(*(params.get(name) for name in _WINDOW), required=required)
    others, scope = _without_scope(params)
    chosen = p.options(params, {*_FORMATS, "sysAttrs"})
    pick, omit = projections(others, context)
    if any(projection is not None and projection.depth for projection in (pick, omit)):
        raise BadRequestData("pick, omit: no braces, since temporal representations have no linked entities")
    languages = natural.parse(params["lang"]) if "lang" in params else ()
    format = _format(params, chosen)
    _refuse_aggregation(params, chosen)
    aggregation = _aggregation(params) if format == "aggregatedValues" else None
    methods = aggregation.methods if aggregation else ()
    view = TemporalView(format, "sysAttrs" in chosen, window, methods, version, pick, omit, languages)
    wanted = TemporalQuery(
        Query(),
        window,
        parse_last_n(params.get("lastN")),
        view.sys_attrs,
        _datasets(params),
        aggregation,
        pick,
        omit,
    )
    return Aspects(wanted, view, others, scope)


def _without_scope(params: p.Params) -> tuple[p.Params, bool]:
    """(the parameters without `scope` in `attrs`, whether it was there)."""
    names = [name.strip() for name in params["attrs"].split(",")] if "attrs" in params else []
    if "scope" not in names:
        return params, False
    others = {name: text for name, text in params.items() if name != "attrs"}
    rest = ",".join(name for name in names if name != "scope")
    return (others | {"attrs": rest} if rest else others), True


def _datasets(params: p.Params) -> tuple[str | None, ...]:
    """4.5.5: the datasetIds that the parameter lists; None for @none."""
    return tuple(None if uri == "@none" else uri for uri in p.uris(params, "datasetId", "@none"))


def _aggregation(params: p.Params) -> Aggregation:
    if "aggrMethods" not in params:
        raise BadRequestData("aggrMethods: expected with aggregatedValues")
    duration = parse_duration(params.get("aggrPeriodDuration", "PT0S"))
    return Aggregation(parse_methods(params["aggrMethods"].split(",")), duration)


def _refuse_aggregation(params: p.Params, chosen: set[str]) -> None:
    """6.18.3.2: BadRequestData for parameters of an aggregation, if aggregatedValues is not asked for."""
    unexpected = next((name for name in ("aggrMethods", "aggrPeriodDuration") if name in params), None)
    if unexpected and "aggregatedValues" not in {*chosen, params.get("format")}:
        raise BadRequestData(f"{unexpected}: expected only with format=aggregatedValues")


def _format(params: p.Params, chosen: set[str]) -> str:
    """6.3.12: the format that `format` names or, without it, `options`, which may name only one."""
    optional = [format for format in _FORMATS if format in chosen]
    name = params.get("format") or (optional[0] if optional else "normalized")
    if name not in _FORMATS:
        raise InvalidRequest(f"format: {name!r} is none of {', '.join(_FORMATS)}")
    if "format" not in params and len(optional) > 1:
        raise InvalidRequest(f"options: expected one of {', '.join(optional)}")
    return name

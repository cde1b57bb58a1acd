"""How a request wants entities shown, and showing them so (clauses 4.15, 4.21, 6.3.7, 6.3.11, 6.3.15)."""

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import orjson

from broker.api.accept import GEO_JSON, JSON, LD_JSON
from broker.api.params import OPTIONS, Params, attrs, number, options, read_format, uris
from broker.core import Entity, Json
from broker.core.entity.geojson import feature
from broker.core.entity.linked_entities import Inlined, Join
from broker.core.entity.parse import attribute_name
from broker.core.entity.view import View, view
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import CORE_CONTEXT_URL
from broker.core.lang import natural, projection
from broker.core.lang.projection import Projection
from broker.ports.broker import Limits
from broker.ports.entities import Renderer

VIEW = frozenset({"options", "format", "attrs", "pick", "omit", "lang", "datasetId", "geometryProperty"})
JOIN = frozenset({"join", "joinLevel", "containedBy"})

_RENDERERS: WeakValueDictionary[tuple["Representation", bool], Renderer] = WeakValueDictionary()
_PLAIN = View()
_DEEPEST = 10  # links that a join follows at most


@dataclass(frozen=True, slots=True)
class Representation:
    """How entities are shown in one answer.

    `geometry`: the IRI of the GeoProperty of a Feature. `is_linked`: the @context goes into a Link header.
    """

    media: str
    context: Context
    view: View
    geometry: str
    is_linked: bool
    join: Join | None = None

    @property
    def is_cacheable(self) -> bool:
        """Whether what is shown is of one entity alone, and shown as it is."""
        return self.join is None and self.view.version is None

    def renderer(self, *, alone: bool = False) -> Renderer:
        """Shows single entities. `alone`: an entity is the whole answer, so a Feature names its @context.

        There is one renderer of equal shapes, as long as anybody has it or remembers what it made.
        """

        def render(entity: Entity) -> bytes:
            return self._text(entity, view(entity, self.context, self.view), self.view, alone)

        return _RENDERERS.setdefault((self, alone), Renderer(render))

    def flat(self, entities: Sequence[tuple[Entity, View]]) -> list[bytes]:
        """Entities, each shown in its own way; without those of which nothing is shown."""
        texts = (
            self._text(one, view(one, self.context, representation), representation, False)
            for one, representation in entities
        )
        return [text for text in texts if text]

    def inline(
        self, entities: Sequence[Entity], linked: Sequence[Entity], join: Join, *, alone: bool = False
    ) -> list[bytes]:
        """Entities with linked ones inside them; without those of which nothing is shown."""
        inlined = Inlined({one["id"]: one for one in (*entities, *linked)}, join, self.context)
        texts = (self._text(one, inlined.show(one, self.view), self.view, alone) for one in entities)
        return [text for text in texts if text]

    def _text(self, entity: Entity, doc: dict[str, Json], representation: View, alone: bool) -> bytes:
        if self.media == GEO_JSON:
            doc = feature(entity, doc, self.geometry, representation)
        if not doc:
            return b""
        if self.media == LD_JSON or (alone and not self.is_linked):
            doc["@context"] = source(self.context)
        return orjson.dumps(doc)


def source(context: Context) -> Json:
    """The @context that answers name: the user's own, or the core."""
    return CORE_CONTEXT_URL if context.source is None else context.source


def read_representation(
    params: Params, media: str, context: Context, limits: Limits, *, prefers_json: bool = False
) -> Representation:
    """The representation that parameters ask for. BadRequestData if they contradict each other (5.7.1.4)."""
    join = _join(params, limits)
    representation = read_view(params, context)
    depth = max(
        (one.depth for one in (representation.pick, representation.omit) if one is not None), default=0
    )
    if depth > (join.level if join else 0):
        raise BadRequestData("pick, omit: braces need join, and a joinLevel of at least their depth")
    is_linked = media == JSON or (media == GEO_JSON and prefers_json)
    return Representation(media, context, representation, _geometry(params, context, media), is_linked, join)


def read_view(params: Params, context: Context) -> View:
    """How entities are to be shown; `format` wins over `options`."""
    if not params:
        return _PLAIN
    chosen = options(params, OPTIONS)
    pick, omit = projections(params, context)
    return View(
        read_format(params),
        "sysAttrs" in chosen,
        pick,
        omit,
        natural.parse(params["lang"]) if "lang" in params else (),
        frozenset(uris(params, "datasetId", "@none")) if "datasetId" in params else None,
    )


def projections(params: Params, context: Context) -> tuple[Projection | None, Projection | None]:
    """What `pick` and `omit` name, or `attrs` in their place (4.21)."""

    def name(text: str) -> str:
        return attribute_name(text, context)

    pick, omit = (
        projection.parse(one, params[one], name) if one in params else None for one in ("pick", "omit")
    )
    if "attrs" in params:
        if pick or omit:
            raise BadRequestData("attrs: not allowed with pick or omit")
        return projection.of_attrs(attrs(params, context)), None
    if pick and omit and pick.overlaps(omit):
        raise BadRequestData("pick, omit: expected no member in both")
    return pick, omit


def _geometry(params: Params, context: Context, media: str) -> str:
    """The IRI of the GeoProperty that is to be the geometry (6.3.15)."""
    name = params.get("geometryProperty")
    if name is not None and media != GEO_JSON:
        raise BadRequestData("geometryProperty: expected only where application/geo+json is accepted")
    return attribute_name(name or "location", context)


def _join(params: Params, limits: Limits) -> Join | None:
    kind = params.get("join", "@none")
    if kind not in ("inline", "flat", "@none"):
        raise BadRequestData("join: expected inline, flat or @none")
    level = number(params, "joinLevel", 1)
    if not 1 <= level <= _DEEPEST:
        raise BadRequestData(f"joinLevel: expected a whole number from 1 to {_DEEPEST}")
    contained_by = frozenset(uris(params, "containedBy"))
    return None if kind == "@none" else Join(kind, level, contained_by, limits.linked)

"""Representations of entities: read from parameters, and rendered (4.15, 4.21, 6.3.7, 6.3.11, 6.3.15)."""

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
_DEEPEST = 10  # levels of links that a join may follow


@dataclass(frozen=True, slots=True)
class Representation:
    """How one response shows entities.

    `media`: the media type. `geometry`: the IRI of the GeoProperty that is the geometry of a Feature.
    `is_linked`: the @context goes into a Link header, not into the body. `join`: how linked entities are
    added, if they are.
    """

    media: str
    context: Context
    view: View
    geometry: str
    is_linked: bool
    join: Join | None = None

    @property
    def is_cacheable(self) -> bool:
        """Whether the text of an entity depends on this entity alone, in the present version of NGSI-LD."""
        return self.join is None and self.view.version is None

    def renderer(self, *, alone: bool = False) -> Renderer:
        """Renders single entities. `alone`: the entity is the whole response, so a Feature has its @context.

        Equal representations share one renderer, as long as it or its cached renderings are in use.
        """

        def render(entity: Entity) -> bytes:
            return self._text(entity, view(entity, self.context, self.view), self.view, alone)

        return _RENDERERS.setdefault((self, alone), Renderer(render))

    def flat(self, entities: Sequence[tuple[Entity, View]]) -> list[bytes]:
        """The texts of entities, each in its own view, without the empty ones."""
        texts = (
            self._text(entity, view(entity, self.context, own_view), own_view, False)
            for entity, own_view in entities
        )
        return [text for text in texts if text]

    def inline(
        self, entities: Sequence[Entity], linked: Sequence[Entity], join: Join, *, alone: bool = False
    ) -> list[bytes]:
        """The texts of `entities` with the linked entities inside them, without the empty ones."""
        inlined = Inlined({entity["id"]: entity for entity in (*entities, *linked)}, join, self.context)
        texts = (self._text(entity, inlined.show(entity, self.view), self.view, alone) for entity in entities)
        return [text for text in texts if text]

    def _text(self, entity: Entity, doc: dict[str, Json], own_view: View, alone: bool) -> bytes:
        if self.media == GEO_JSON:
            doc = feature(entity, doc, self.geometry, own_view)
        if not doc:
            return b""
        if self.media == LD_JSON or (alone and not self.is_linked):
            doc["@context"] = source(self.context)
        return orjson.dumps(doc)


def source(context: Context) -> Json:
    """The @context value that a response shows: the client's own, or the URL of the core context."""
    return CORE_CONTEXT_URL if context.source is None else context.source


def read_representation(
    params: Params, media: str, context: Context, limits: Limits, *, prefers_json: bool = False
) -> Representation:
    """The representation that parameters ask for. `prefers_json`: Prefer asks for a body without an @context.

    BadRequestData if parameters contradict each other (5.7.1.4).
    """
    join = _join(params, limits)
    shown = read_view(params, context)
    depth = max((part.depth for part in (shown.pick, shown.omit) if part is not None), default=0)
    if depth > (join.level if join else 0):
        raise BadRequestData("pick, omit: braces need join, and a joinLevel of at least their depth")
    is_linked = media == JSON or (media == GEO_JSON and prefers_json)
    return Representation(media, context, shown, _geometry(params, context, media), is_linked, join)


def read_view(params: Params, context: Context) -> View:
    """The view that parameters ask for; `format` wins over `options`.

    BadRequestData or InvalidRequest if a parameter is wrong.
    """
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
    """The projections (pick, omit); `attrs` is a pick of attributes (4.21).

    BadRequestData if they conflict.
    """

    def name(text: str) -> str:
        return attribute_name(text, context)

    pick, omit = (
        projection.parse(param, params[param], name) if param in params else None
        for param in ("pick", "omit")
    )
    if "attrs" in params:
        if pick or omit:
            raise BadRequestData("attrs: not allowed with pick or omit")
        return projection.of_attrs(attrs(params, context)), None
    if pick and omit and pick.overlaps(omit):
        raise BadRequestData("pick, omit: expected no member in both")
    return pick, omit


def _geometry(params: Params, context: Context, media: str) -> str:
    """The IRI of the GeoProperty that is the geometry of a Feature (6.3.15)."""
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

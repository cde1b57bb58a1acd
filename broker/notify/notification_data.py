"""The `data` of notifications, as bytes: rendered once for all subscribers that get the same of an entry."""

from collections.abc import Hashable

import orjson

from broker.core.jsonld.context import Context
from broker.core.notification import Content, Rendering, Subscriber, audience, rendering
from broker.ports.changes import Entry

_LIMIT = 8 << 20  # bytes of data in the cache
_Name = tuple[str, str, str]


class _Kept:
    """The renderings of one entry, by audience and id() of their @context.

    `contexts` keeps those alive: otherwise another @context could get the same id().
    """

    __slots__ = ("by_audience", "contexts", "size")

    def __init__(self) -> None:
        self.by_audience: dict[Hashable, Rendering] = {}
        self.contexts: list[Context] = []
        self.size = 0


class DataRenderings:
    """A cache of renderings, for entries pending for several subscriptions. Evicts the oldest entries."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._kept: dict[_Name, _Kept] = {}

    def of(self, entry: Entry, to: Subscriber, content: Content, context: Context) -> Rendering:
        """The rendering of an entry for a subscriber; its data are bytes."""
        if entry.is_report or to.join is not None:  # what is read at sending may differ each time
            return _rendered(to, content, context)
        name, key = (entry.tenant, entry.entity_id, entry.id), (audience(to), id(context))
        kept = self._kept.get(name)
        if kept is not None and (cached := kept.by_audience.get(key)) is not None:
            return cached
        rendered = _rendered(to, content, context)
        if len(entry.subscriptions) > 1:
            self._keep(self._kept.setdefault(name, _Kept()), key, rendered, context)
        return rendered

    def _keep(self, kept: _Kept, key: Hashable, rendered: Rendering, context: Context) -> None:
        size = len(rendered.data)
        kept.by_audience[key] = rendered
        kept.contexts.append(context)
        kept.size += size
        self._size += size
        while self._size > self._limit:
            self._size -= self._kept.pop(next(iter(self._kept))).size


def _rendered(to: Subscriber, content: Content, context: Context) -> Rendering:
    rendered = rendering(to, content, context)
    return Rendering(orjson.dumps(rendered.data), rendered.content_type, rendered.link)

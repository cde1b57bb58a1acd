"""Sources and matches as the tests of federation make them."""

from collections.abc import Iterable

from broker.core.federation.operations import expanded
from broker.core.federation.source import Match, Source, SourceEntity, SourceInfo

VEHICLE = SourceEntity(("Vehicle",), "urn:v:1")


def matched(
    name: str,
    mode: str = "inclusive",
    attrs: Iterable[str] = (),
    operations: Iterable[str] = ("redirectionOps",),
    entities: tuple[SourceEntity, ...] = (VEHICLE,),
) -> Match:
    """A source with one element of information, which a request concerns."""
    infos = (SourceInfo(entities, frozenset(attrs)),)
    source = Source(f"urn:r:{name}", f"http://{name}.example", "", mode, expanded(operations), infos)
    return Match(source, infos)

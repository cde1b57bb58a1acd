"""The names of operations, and of groups of them, that a context source may offer (clause 4.20)."""

from collections.abc import Iterable

DEFAULT = "federationOps"

_DISCOVERY = frozenset(
    "retrieveEntityTypes retrieveEntityTypeDetails retrieveEntityTypeInfo "
    "retrieveAttrTypes retrieveAttrTypeDetails retrieveAttrTypeInfo".split()
)
_SUBSCRIPTIONS = frozenset(
    "createSubscription updateSubscription retrieveSubscription querySubscription deleteSubscription".split()
)
_MAPS = frozenset("retrieveEntityMap updateEntityMap deleteEntityMap createEntityMapQueryEntity".split())
_UPDATES = frozenset("updateEntity updateAttrs replaceEntity replaceAttrs".split())
_RETRIEVALS = frozenset(("retrieveEntity", "queryEntity"))
_IDENTITY = "retrieveContextSourceIdentity"
_ASSOCIATION = _RETRIEVALS | _DISCOVERY | _SUBSCRIPTIONS | {"queryBatch", _IDENTITY}

# Table 4.20-2.
GROUPS: dict[str, frozenset[str]] = {
    "federationOps": _ASSOCIATION | _MAPS,
    "associationOps": _ASSOCIATION,
    "updateOps": _UPDATES,
    "retrieveOps": _RETRIEVALS,
    "redirectionOps": _UPDATES
    | _RETRIEVALS
    | _DISCOVERY
    | _MAPS
    | frozenset("createEntity appendAttrs deleteAttrs deleteEntity mergeEntity purgeEntity".split())
    | {_IDENTITY},
}
# Table 4.20-1.
NAMES = frozenset[str]().union(*GROUPS.values()) | frozenset(
    "createBatch upsertBatch updateBatch deleteBatch mergeBatch upsertTemporal appendAttrsTemporal "
    "deleteAttrsTemporal updateAttrInstanceTemporal deleteAttrInstanceTemporal deleteTemporal "
    "retrieveTemporal queryTemporal createEntityMapQueryTemporal".split()
)
AUXILIARY = frozenset(
    ("retrieveOps", "retrieveEntity", "queryEntity")
)  # all that this mode may have (5.9.2.4)


def expanded(names: Iterable[str] | None) -> frozenset[str]:
    """The operations that names of operations and groups stand for; None: those of the default group."""
    groups = (GROUPS.get(name, frozenset((name,))) for name in ((DEFAULT,) if names is None else names))
    return frozenset[str]().union(*groups)


# By which operations a source can do its part of a batch: the first of them that it offers. An upsert by
# createEntity is followed by the one after it for an entity that exists.
LADDERS: dict[str, tuple[str, ...]] = {
    "createBatch": ("createBatch", "createEntity"),
    "upsertBatch": ("upsertBatch", "createEntity", "replaceEntity"),
    "upsertBatch update": ("upsertBatch", "createEntity", "updateEntity"),
    "updateBatch": ("updateBatch", "updateEntity"),
    "updateBatch noOverwrite": ("updateBatch", "appendAttrs"),
    "mergeBatch": ("mergeBatch", "mergeEntity"),
    "deleteBatch": ("deleteBatch", "deleteEntity"),
}

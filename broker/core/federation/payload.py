"""The bodies of requests to context sources, in their names and version (clauses 4.3.6.6, 4.3.6.8)."""

from dataclasses import replace

from broker.core import Attributes, Instance, Json
from broker.core.entity import parse
from broker.core.entity.downgrade import CURRENT, Older, Version, conformant, newer_members
from broker.core.entity.renamed import Renaming
from broker.core.entity.values import ParseOptions
from broker.core.entity.view import attribute
from broker.core.federation.step import Step
from broker.core.jsonld.context import Context
from broker.core.uri import NULL

_OF_ATTRIBUTE = frozenset(("updateAttrs", "replaceAttrs"))  # their document is one attribute's
_MERGES = ("mergeEntity", "mergeBatch")
_SIMPLIFIED = ("simplified", "keyValues")


def payload(step: Step, names: Context) -> Json:
    """The document of a step, or of each item of a batch, in some names and in the version of the source.

    As it came, if that is what the source understands. BadRequestData if it is no valid document.
    """
    if isinstance(step.doc, list):
        return [payload(replace(step, doc=item), names) for item in step.doc]
    version = conformant(step.match.source.naming.version or "")
    if version is not None and version < CURRENT and not _is_simplified(step):
        return _downgraded(step, names, version)
    if names is step.context or not isinstance(step.doc, dict):
        return step.doc
    renaming = Renaming(step.context, names, is_merge=step.operation in _MERGES)
    if step.operation not in _OF_ATTRIBUTE:
        return renaming.entity(step.doc)
    return renaming.instance(step.doc) if step.operation == "updateAttrs" else renaming.attribute(step.doc)


def _is_simplified(step: Step) -> bool:
    """Whether a merge has bare values, whose kind only the source knows."""
    options = step.params.get("options", "").split(",")
    return step.params.get("format") in _SIMPLIFIED or any(option in _SIMPLIFIED for option in options)


def _downgraded(step: Step, names: Context, version: Version) -> Json:
    """The document in normalized form without what is newer than a version."""
    options = ParseOptions(step.context, nulls=True, deep=True)
    older = Older(version, names.compacted)
    if step.operation in _OF_ATTRIBUTE:
        read = parse.partial if step.operation == "updateAttrs" else parse.instance
        return _shown(older.instances([read("attribute", step.doc, options)]), names)
    attrs = parse.fragment(step.doc, options).attrs
    newer = newer_members(version)
    members = {
        name: member
        for name, member in Renaming(step.context, names).entity(step.doc).items()
        if name in parse.ENTITY_MEMBERS and name not in newer
    }
    shown = {names.compact(iri): _shown(older.instances(many), names) for iri, many in attrs.items()}
    return {**members, **shown}


def _shown(instances: list[Instance], names: Context) -> Json:
    return attribute([*map(_without_null, instances)], names, "normalized", None)


def _without_null(instance: Instance) -> Instance:
    """The instance without an observedAt that is a Null, since older versions cannot delete it."""
    attrs: Attributes = instance.get("attrs", {})
    shown = {name: member for name, member in instance.items() if (name, member) != ("observedAt", NULL)}
    return {
        **shown,
        **({"attrs": {iri: [*map(_without_null, many)] for iri, many in attrs.items()}} if attrs else {}),
    }

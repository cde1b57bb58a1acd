"""The languages that clients select with: each has a grammar, one parser, one syntax tree and two readers.

`match` reads a tree against an entity, in Python; `store.filters` makes a MongoDB filter of it. Both
select the same entities, and a test holds them to it.
"""

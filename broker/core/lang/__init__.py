"""The query languages of NGSI-LD: each has a grammar, a parser, a syntax tree and two evaluators of it.

`match` evaluates a tree for one entity in Python; `store.query.filters` makes a MongoDB filter of it. Both
select the same entities; a property test checks this.
"""

"""The protocols through which rooms use each other, and the values that travel between them.

`operations`, `store`, `notify` and `contexts` do not import each other: each uses these protocols, and `main`
passes in the implementations.
"""

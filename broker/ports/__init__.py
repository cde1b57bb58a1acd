"""Where the rooms meet: what each offers the others, as protocols and the values that travel.

`operations`, `store`, `notify` and `contexts` do not know each other; `main` hands each what it needs.
"""

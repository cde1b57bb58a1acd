"""Entities: the kinds of attributes, and how entities are parsed, changed and shown (clauses 4.5, 5.5)."""

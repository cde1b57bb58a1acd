"""Context sources: what is registered, and how they are asked (clauses 4.3.6, 5.12, 6.3.17 to 6.3.19)."""

"""The operations of clauses 5.6 to 5.8 and 5.13: one coroutine for each, with the specification's name."""

"""The operations of clauses 5.6 to 5.8: one coroutine each, named as the specification names it."""

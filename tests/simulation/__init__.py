"""A simulation of delivery: some workers, one store, and everything that may go wrong, in virtual time."""

"""MongoDB: the one place where what the broker knows is kept (design in specs/architecture.md)."""

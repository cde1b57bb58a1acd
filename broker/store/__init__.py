"""The storage of the broker, on MongoDB (design in specs/architecture.md)."""

"""The composition root: builds all rooms of a worker and runs it. Only this room imports all others."""

"""The history of entities: its documents, packing, retention, and temporal queries."""

"""The history of entities: its documents, compaction, retention, and temporal queries."""

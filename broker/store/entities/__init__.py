"""The present state of entities: reads by id and by query, renderings, discovery, removal after expiry."""

"""Access to MongoDB: connection, tenants, commands, transactions, stored form of entities, errors."""

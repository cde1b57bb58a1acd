"""What MongoDB and the broker speak: connection, tenants, commands, the stored shape, meanings of errors."""

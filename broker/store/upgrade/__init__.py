"""The format of the database: its number, and the upgrade of one that an older version wrote."""

"""@contexts: fetched with limits, remembered in memory and in MongoDB, compiled with PyLD."""

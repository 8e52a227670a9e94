"""From the published archive to parquet shards: reading, cutting, simulating, counting."""

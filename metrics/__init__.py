"""The benchmark's metrics, one `evaluate` module a folder."""

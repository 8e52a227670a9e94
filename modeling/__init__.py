"""Every architecture of the benchmark as a `PreTrainedModel`."""

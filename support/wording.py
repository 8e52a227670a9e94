"""Words for messages."""


def counted(count: int, thing: str) -> str:
    """A count with its noun: "1 band", "3 bands"."""
    return f"1 {thing}" if count == 1 else f"{count} {thing}s"

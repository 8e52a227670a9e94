"""Words for messages."""


def counted(count: int, thing: str, things: str | None = None) -> str:
    """A count with its noun: "1 band", "3 bands", or a plural of its own: "2 patches"."""
    return f"1 {thing}" if count == 1 else f"{count} {things or f'{thing}s'}"

"""A promise that was broken."""


class Violation(AssertionError):
    """What was seen, in words."""


def require(holds: object, text: str) -> None:
    """Raise Violation unless something holds."""
    if not holds:
        raise Violation(text)

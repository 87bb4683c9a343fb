from collections.abc import Iterator


def ask(message: str) -> Iterator[str | None]:
    yield None
    yield "Forty"
    yield ""
    yield "-two."

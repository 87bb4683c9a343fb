"""Commands that install optional dependencies."""

from __future__ import annotations

from importlib import metadata

import pytest

from persona_stream.extras import install_command


def test_the_command_names_libraries_that_exist() -> None:
    """Those of the extra, with their ranges, and never this package, which is on no index."""
    assert install_command("sql").startswith("pip install 'SQLAlchemy>=")
    assert "'psycopg[binary]>=" in install_command("sql")


@pytest.mark.parametrize("extra", ["celery", "crypto", "docs", "limits", "metrics", "otel", "redis", "server", "sql"])
def test_every_extra_that_a_hint_names_exists(extra: str) -> None:
    """The command is never empty."""
    assert extra in (metadata.metadata("persona_stream").get_all("Provides-Extra") or [])
    assert install_command(extra) != "pip install"
    assert "persona_stream" not in install_command(extra)

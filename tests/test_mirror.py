"""The tests mirror the package: ``tests/x/test_y.py`` tests ``persona_stream/x/y.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "persona_stream"
# Tests of the whole program or of what surrounds it; each folder's name says of what.
INTEGRATION = {"bench", "browser", "docs", "faults", "fuzz", "http"}
# Rules about the tree and the extension points, which belong to no single module.
WHOLE_PACKAGE = {
    "tests/test_mirror.py",
    "tests/test_extending.py",
    "tests/test_extending_executor.py",
    "tests/journals/test_redis.py",
}


FILES = sorted(
    file.relative_to(ROOT)
    for file in (ROOT / "tests").rglob("test_*.py")
    if file.parts[len(ROOT.parts) + 1] not in INTEGRATION and str(file.relative_to(ROOT)) not in WHOLE_PACKAGE
)


def module_of(test: Path) -> Path | None:
    """Return the module that a test file is named after; ``test_y_topic.py`` belongs to ``y.py`` too."""
    folder = PACKAGE.joinpath(*test.parent.parts[1:])
    words = test.stem.removeprefix("test_").split("_")
    for end in range(len(words), 0, -1):
        module = folder / ("_".join(words[:end]) + ".py")
        if module.exists():
            return module
    return None


@pytest.mark.parametrize("test", FILES, ids=str)
def test_a_test_file_is_named_after_a_module(test: Path) -> None:
    """So the tests of a module are found without a search, and move with it."""
    assert module_of(test) is not None, (
        f"{test} is named after no module of persona_stream/{'/'.join(test.parts[1:-1])}"
    )

"""Rules of the tree: the tests mirror the package, names are unique, and packages hold exports."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "persona_stream"
# Tests of the whole program, or of what surrounds it.
INTEGRATION = {"bench", "browser", "docs", "faults", "fuzz", "http"}
# Tests that belong to no single module.
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


def test_a_class_name_occurs_once() -> None:
    """A name in a log or a traceback leads to one class."""
    trees = (ast.parse(file.read_text("utf-8")) for file in PACKAGE.rglob("*.py"))
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_packages_hold_exports_only() -> None:
    """An ``__init__.py`` is a docstring, imports and ``__all__``; the package's own also loads create_app lazily."""
    for file in PACKAGE.rglob("*/__init__.py"):
        for node in ast.parse(file.read_text("utf-8")).body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            assert is_docstring or is_all or isinstance(node, ast.Import | ast.ImportFrom), (
                f"{file}: {ast.unparse(node)}"
            )

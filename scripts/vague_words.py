#!/usr/bin/env python3
"""Count vague words in docstrings and comments; fail above two per thousand words.

Usage: scripts/vague_words.py [PATH ...]   (default: persona_stream)

Technical prose names things by the field's nouns: "the client", "the operator", "a subscriber". Phrases such as
"whoever asks" or "what is there" make the reader guess; this check keeps them rare.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

MAX_PER_THOUSAND = 2.0
_VAGUE = re.compile(
    r"\b(whoever|whatever|somebody|anybody|nobody|everybody|stranger'?s?|those who|those that"
    r"|what (is|was|comes|came|others|else|it|they|we|there|a|the|this|one)\b"
    r"|who(se)? (would|asks|answers|reads|waits|comes|calls|speaks|runs|listens|has))",
    re.IGNORECASE,
)


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield each docstring and comment of a module with its line number."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring:
                yield node.body[0].lineno, docstring
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")


def main(arguments: list[str]) -> int:
    """Print each match and the rate; return 1 when the rate is too high."""
    roots = [Path(argument) for argument in arguments] or [Path("persona_stream")]
    files = [file for root in roots for file in (sorted(root.rglob("*.py")) if root.is_dir() else [root])]
    words = 0
    matches: list[str] = []
    for file in files:
        for line, text in texts(file.read_text("utf-8")):
            words += len(text.split())
            matches += [f"{file}:{line}: {match.group(0)}" for match in _VAGUE.finditer(text)]
    rate = 1000 * len(matches) / max(words, 1)
    if rate > MAX_PER_THOUSAND:
        print("\n".join(matches))
    print(f"vague words: {len(matches)} in {words} words of docstrings and comments, {rate:.1f} per thousand")
    return int(rate > MAX_PER_THOUSAND)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

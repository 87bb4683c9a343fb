"""The documents' links, settings, commands and snippets are correct."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from persona_stream.backends.factory import build_backends, route
from persona_stream.chunking.chunkers import sentences
from persona_stream.cli.commands import group
from persona_stream.personas.persona import load_personas
from persona_stream.settings.loader import CONFIG_VARIABLE, PREFIX, TOKEN_VARIABLE, load_settings
from persona_stream.settings.schema import BY_NAME
from tests.chunking.cases import BOUNDARY
from tests.documents import BACKENDS, BACKENDS_ZH, DOCUMENTS, README, README_ZH, ROOT, SECURITY, SETTINGS, Document

FOREIGN_FLAGS = {"--graceful-timeout"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=repr)
def test_every_link_has_a_target(document: Document) -> None:
    """A link names an existing file and, after a #, one of its headings."""
    for file, anchor in document.links():
        assert file.exists(), f"no {file}"
        if anchor:
            assert anchor in Document(str(file.relative_to(ROOT.resolve()))).anchors(), f"no #{anchor} in {file}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=repr)
def test_every_path_exists(document: Document) -> None:
    """A repository path in the prose exists; a pattern matches a file."""
    for path in document.code():
        if re.fullmatch(r"(persona_stream|tests|docs|deploy|scripts|e2e|bench)/[\w./*-]+", path):
            assert list(ROOT.glob(path.rstrip("/"))), path


def test_the_settings_table_is_generated() -> None:
    """docs/SETTINGS.md contains the output of `persona-stream settings --markdown`."""
    printed = CliRunner().invoke(group, ["settings", "--markdown"])
    assert SETTINGS.settings_table() == printed.output.strip()


def test_the_chinese_settings_table_is_correct() -> None:
    """Each row of the short table names a setting and its default."""
    table = [line.split("|") for line in BACKENDS_ZH.settings_table().splitlines()[2:]]
    assert table
    for _, name, default, *_ in table:
        setting = BY_NAME[name.strip(" `")]
        assert default.strip(" `") == ("" if setting.default is None else setting.format(setting.default))


@pytest.mark.parametrize("document", DOCUMENTS, ids=repr)
def test_python_blocks_parse_and_their_imports_exist(document: Document) -> None:
    """Every block parses, and every name that it imports from persona_stream exists."""
    for block in document.blocks("python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "persona_stream":
                names: dict[str, object] = {}
                exec(compile(ast.Module([node], []), str(document), "exec"), names)  # the import alone
                assert all(alias.name in names for alias in node.names), block
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)


def flags_of(command: str) -> set[str]:
    """Return the flags of a command."""
    found = group.get_command(click.Context(group), command)
    assert found is not None
    commands = [found, *(found.commands.values() if isinstance(found, click.Group) else ())]
    return {flag for each in commands for parameter in each.params for flag in parameter.opts} | {"--help"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=repr)
def test_the_commands_exist(document: Document) -> None:
    """Commands, flags, make targets and variables in the text exist."""
    typed = [*document.code(), *(line for block in document.blocks("bash") for line in block.splitlines())]
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    flags = {command: flags_of(command) for command in group.list_commands(click.Context(group))}
    for line in typed:
        for command, arguments in re.findall(r"persona-stream ([a-z]+)([^|#`)]*)", line):
            assert not set(re.findall(r"(?<= )--[a-z-]+", arguments)) - flags[command], line
        if line.startswith("--"):
            assert line.split()[0] in set.union(*flags.values()) | FOREIGN_FLAGS, line
        if found := re.match(r"make (?:[A-Z]+=\S+ )?([a-z0-9]+)", line):
            assert found[1] in targets, line
        for variable in re.findall(rf"{PREFIX}[A-Z_]+", line):
            name = variable.removeprefix(PREFIX).lower()
            assert name in BY_NAME or variable in (CONFIG_VARIABLE, TOKEN_VARIABLE) or variable == PREFIX, line


@pytest.mark.parametrize("document", [BACKENDS, BACKENDS_ZH], ids=repr)
def test_the_settings_files_are_valid(document: Document, tmp_path: Path) -> None:
    """Every backend in them can be created."""
    [block] = [block for block in document.blocks("toml") if not block.startswith("# personas/")]
    file = tmp_path / "settings.toml"
    file.write_text(block, "utf-8")
    settings = load_settings({}, {}, file).settings
    assert route(settings, None, build_backends(settings, None)).names == ["openai", "careful", "claude-sonnet-4-5"]


def test_every_threat_names_its_tests() -> None:
    """Each row of the threat table names an existing test file."""
    table = SECURITY.text.partition("| threat | met by | tested in |")[2].partition("\n\n")[0]
    rows = [line.split("|") for line in table.splitlines()[2:]]
    assert len(rows) > 20
    for _, threat, _, tests, _ in rows:
        files = re.findall(r"`(tests/[\w/]+\.py)`", tests)
        assert files, threat
        for file in files:
            assert re.search(r"^def test_", (ROOT / file).read_text("utf-8"), re.MULTILINE), file


@pytest.mark.parametrize("document", [BACKENDS, BACKENDS_ZH], ids=repr)
def test_the_persona_file_is_valid(document: Document, tmp_path: Path) -> None:
    """The example file can be loaded."""
    [block] = [block for block in document.blocks("toml") if block.startswith("# personas/")]
    name = block.partition("\n")[0].removeprefix("# personas/")
    (tmp_path / name).write_text(block, "utf-8")
    [persona] = load_personas(tmp_path).values()
    assert persona.name == tomllib.loads(block)["name"]
    assert persona.notes


@pytest.mark.parametrize("document", [README, README_ZH], ids=repr)
def test_the_readme_is_short(document: Document) -> None:
    """It leads to the documents for everything else."""
    assert len(document.text.split()) <= 1200


def test_the_examples_of_sentences_are_chunks() -> None:
    """Of each language and of Markdown, in docs/CHUNKING.md."""
    document = Document("docs/CHUNKING.md")
    [markdown] = document.blocks("text")
    examples = [cells[1] for cells in document.rows() if BOUNDARY in cells[1]]
    assert len(examples) >= 20
    for example in [*examples, markdown.removesuffix("\n")]:
        assert sentences(example.replace(BOUNDARY, "")) == example.split(BOUNDARY)

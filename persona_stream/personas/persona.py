"""A persona: who answers, in what voice, and what they know.

Read personas from a folder: one TOML file a persona, and the file's name is the username.

A file called ``AdaLovelace.toml`` is the persona that requests call ``AdaLovelace``::

    name = "Ada Lovelace 埃达·洛芙莱斯"      # the name people use, in one script or in both
    languages = ["en", "zh"]               # the languages it speaks best, best first; ["en"] when left out
    prompt = \"\"\"
    You speak as Ada Lovelace, ...
    \"\"\"                                    # its system prompt, for backends with a model; may be left out

    [line]                                 # who this is, in one line, by language code
    en = "English mathematician who published the first program."
    zh = "英国数学家，发表了第一个程序。"

    [[notes]]                              # what it knows; any number of notes, none at all too
    topics = ["Analytical Engine", "分析机"]  # words that ask for this note; the first of a language is its title
    source = "https://www.fourmilab.ch/babbage/sketch.html"
    text.en = "It had a mill and a store, and was never built."
    text.zh = "它有“工厂”和“仓库”，始终没有造成。"

``line`` and every note's ``text`` hold at least the first of ``languages``. Usernames are 1 to 64 characters, and no
two of a folder differ only in upper and lower case. Hidden files and other files than ``.toml`` are left alone.
"""

from __future__ import annotations

import importlib.resources
import re
import unicodedata
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from persona_stream.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class KnowledgeItem:
    """Hold one thing that a persona knows, with where it is from.

    Attributes:
        topics: words, of any language, that ask for this note.
        text: the same fact by language code: ``{"en": ..., "zh": ...}``.
        source: an address where it can be checked.
    """

    topics: tuple[str, ...]
    text: dict[str, str]
    source: str


@dataclass(frozen=True, slots=True)
class Persona:
    """Hold a profile.

    Attributes:
        username: the name in requests.
        name: the name people use.
        line: who this is, in one line, by language code.
        languages: the languages it speaks best, best first.
        prompt: its system prompt.
        notes: what it knows.
    """

    username: str
    name: str
    tagline: dict[str, str]
    languages: tuple[str, ...] = ("en",)
    prompt: str = ""
    notes: tuple[KnowledgeItem, ...] = field(default=(), repr=False)


USERNAME_MAX = 64

_Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}$")]
_Topics = Annotated[tuple[str, ...], Meta(min_length=1)]
_Source = Annotated[str, Meta(pattern=r"^https?://\S+$")]


class _NoteTable(Struct, forbid_unknown_fields=True):
    topics: _Topics
    text: dict[_Language, str]
    source: _Source


class _File(Struct, forbid_unknown_fields=True):
    name: str
    line: dict[_Language, str]
    languages: Annotated[tuple[_Language, ...], Meta(min_length=1)] = ("en",)
    prompt: str = ""
    notes: tuple[_NoteTable, ...] = ()


def load_personas(folder: Path) -> dict[str, Persona]:
    """Read every persona of a folder, by username, in the order of the usernames.

    Raises:
        ConfigurationError: the folder cannot be read or holds no persona, or a file breaks the format; the text names
            the file and the key.
    """
    return _load(folder)


def bundled_personas() -> dict[str, Persona]:
    """Read the personas that come with this package."""
    return _load(importlib.resources.files("persona_stream") / "personas")


def _load(folder: Traversable) -> dict[str, Persona]:
    try:
        files = [entry for entry in folder.iterdir() if _is_profile(entry)]
    except OSError as error:
        raise ConfigurationError(f"profiles: {folder} is not a folder that can be read ({error.strerror})") from error
    if not files:
        raise ConfigurationError(f"profiles: there is no .toml file in {folder}")
    personas: dict[str, Persona] = {}
    taken: dict[str, Traversable] = {}
    for file in sorted(files, key=lambda file: (_username(file).casefold(), file.name)):
        persona = _read(file)
        twin = taken.setdefault(persona.username.casefold(), file)
        if twin is not file:
            raise ConfigurationError(f"{file}: the username is the one of {twin.name}; rename one of the two")
        personas[persona.username] = persona
    return personas


def _is_profile(entry: Traversable) -> bool:
    # Editors and file systems leave hidden twins behind (.Ada.toml.swp, ._Ada.toml): none of them is a persona.
    return entry.name.lower().endswith(".toml") and not entry.name.startswith(".") and entry.is_file()


def _username(file: Traversable) -> str:
    # Some file systems hand names back decomposed; requests come composed, and must find the same persona.
    return unicodedata.normalize("NFC", file.name[: -len(".toml")])


def _read(file: Traversable) -> Persona:
    username = _username(file)
    if len(username) > USERNAME_MAX or username != username.strip() or not username.isprintable():
        raise ConfigurationError(
            f"{file}: the file's name is the username, and that has 1 to {USERNAME_MAX} printable characters "
            "with no space at its ends"
        )
    try:
        # Decoded here, because releases of msgspec differ in the error that they raise for another encoding.
        text = file.read_bytes().removeprefix(b"\xef\xbb\xbf").decode()
        table = msgspec.toml.decode(text, type=_File)
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: is not UTF-8") from error
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{file}: {_counted_from_one(str(error))}") from error
    return _persona(file, username, table)


def _persona(file: Traversable, username: str, table: _File) -> Persona:
    spoken = table.languages[0]

    def filled(text: str, key: str) -> str:
        if not text.strip():
            raise ConfigurationError(f"{file}: `{key}` is blank")
        return text.strip()

    def translated(texts: dict[str, str], key: str) -> dict[str, str]:
        if spoken not in texts:
            raise ConfigurationError(f"{file}: `{key}` lacks `{spoken}`, the first of `languages`")
        return {language: filled(text, f"{key}.{language}") for language, text in texts.items()}

    return Persona(
        username=username,
        name=filled(table.name, "name"),
        tagline=translated(table.line, "line"),
        languages=table.languages,
        prompt=table.prompt.strip(),
        notes=tuple(
            KnowledgeItem(
                topics=tuple(filled(topic, f"note {number}: topics") for topic in note.topics),
                text=translated(note.text, f"note {number}: text"),
                source=note.source,
            )
            for number, note in enumerate(table.notes, start=1)
        ),
    )


def _counted_from_one(message: str) -> str:
    """Put the place in an error of msgspec the way people count: `$.notes[2].source` is note 3."""
    message = re.sub(r"\$\.notes\[(\d+)\]\.?", lambda found: f"note {int(found[1]) + 1}: ", message)
    return message.replace("`$.", "`").replace(": `", "`")

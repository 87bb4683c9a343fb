"""Personas, and their profiles: a folder with one TOML file per persona, whose file name is the username.

The profile of the persona ``AdaLovelace`` is the file ``AdaLovelace.toml``::

    name = "Ada Lovelace 埃达·洛芙莱斯"      # the display name, in one script or in both
    languages = ["en", "zh"]               # the languages it speaks, the best first; default: ["en"]
    prompt = \"\"\"
    You speak as Ada Lovelace, ...
    \"\"\"                                    # the system prompt for model backends; optional

    [line]                                 # a tagline of one line, by language code
    en = "English mathematician who published the first program."
    zh = "英国数学家，发表了第一个程序。"

    [[notes]]                              # its knowledge: any number of notes, or none
    topics = ["Analytical Engine", "分析机"]  # keywords; the first one in a language is the title
    source = "https://www.fourmilab.ch/babbage/sketch.html"
    text.en = "It had a mill and a store, and was never built."
    text.zh = "它有“工厂”和“仓库”，始终没有造成。"

``line`` and the ``text`` of every note contain at least the first of ``languages``. Usernames are 1 to 64 characters,
and unique in a folder, ignoring case. Hidden files, and files that are not ``.toml``, are ignored.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import abc, files
from typing import Annotated

from msgspec import Meta, MsgspecError, Struct, toml

from persona_stream.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class KnowledgeItem:
    """Note: a fact that a persona knows, with its source.

    Attributes:
        topics: the keywords, in any language.
        text: the text by language code: ``{"en": ..., "zh": ...}``.
        source: the URL of the source.
    """

    topics: tuple[str, ...]
    text: dict[str, str]
    source: str


@dataclass(frozen=True, slots=True)
class Persona:
    """Profile of a persona.

    Attributes:
        username: the name in requests.
        name: the display name.
        tagline: a description of one line, by language code.
        languages: the languages that it speaks, the best first.
        prompt: the system prompt.
        notes: the knowledge.
    """

    username: str
    name: str
    tagline: dict[str, str]
    languages: tuple[str, ...] = ("en",)
    prompt: str = ""
    notes: tuple[KnowledgeItem, ...] = field(default=(), repr=False)

    def name_in(self, language: str) -> str:
        """Return the part of the name in a language's script, or all of it: "鲁迅 Lu Xun" is "鲁迅" in Chinese."""
        part = " ".join(HAN_RUN.findall(self.name)) if language == "zh" else HAN_RUN.sub(" ", self.name)
        return " ".join(part.split()) or self.name


MAX_USERNAME_CHARS = 64
_USERNAME_RULE = f"must have 1 to {MAX_USERNAME_CHARS} printable characters, and no space at either end"
HAN = "\u3400-\u4dbf\u4e00-\u9fff"
"""Chinese characters, for a class of a regular expression."""
HAN_RUN = re.compile(f"[{HAN}][{HAN}·]*")

_Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}$")]
_Topics = Annotated[tuple[str, ...], Meta(min_length=1)]
_Source = Annotated[str, Meta(pattern=r"^https?://\S+$")]


class _NoteTable(Struct, forbid_unknown_fields=True):
    topics: _Topics
    text: dict[_Language, str]
    source: _Source


class _ProfileFile(Struct, forbid_unknown_fields=True):
    name: str
    line: dict[_Language, str]
    languages: Annotated[tuple[_Language, ...], Meta(min_length=1)] = ("en",)
    prompt: str = ""
    notes: tuple[_NoteTable, ...] = ()


def bundled_personas() -> dict[str, Persona]:
    """Load the personas that come with this package."""
    return load_personas(files("persona_stream") / "personas")


def load_personas(folder: abc.Traversable) -> dict[str, Persona]:
    """Load the personas in a folder, by username and in the order of the usernames.

    Raises:
        ConfigurationError: the folder cannot be read or contains no profile, or a profile is invalid; the text names
            the file and the key.
    """
    try:
        profiles = [entry for entry in folder.iterdir() if _is_profile(entry)]
    except OSError as error:
        raise ConfigurationError(f"profiles: {folder} is not a readable folder ({error.strerror})") from error
    if not profiles:
        raise ConfigurationError(f"profiles: there is no .toml file in {folder}")
    personas: dict[str, Persona] = {}
    files_by_username: dict[str, abc.Traversable] = {}
    for file in sorted(profiles, key=lambda file: (_username(file).casefold(), file.name)):
        persona = _read(file)
        other = files_by_username.setdefault(persona.username.casefold(), file)
        if other is not file:
            raise ConfigurationError(f"{file}: the username is already used by {other.name}; rename one of the files")
        personas[persona.username] = persona
    return personas


def index_personas(personas: Iterable[Persona]) -> dict[str, Persona]:
    """Return personas of an application's own source by username, in their order.

    Raises:
        ConfigurationError: there is none, a username is invalid or occurs twice, or a value is not a persona.
    """
    indexed: dict[str, Persona] = {}
    usernames: set[str] = set()
    for persona in personas:
        if not isinstance(persona, Persona):
            raise ConfigurationError(f"personas: {type(persona).__name__} is not a Persona")
        if not _is_username(persona.username):
            raise ConfigurationError(f"personas: {persona.username!r} is not a username, which {_USERNAME_RULE}")
        if persona.username.casefold() in usernames:
            raise ConfigurationError(f"personas: the username {persona.username} occurs twice")
        usernames.add(persona.username.casefold())
        indexed[persona.username] = persona
    if not indexed:
        raise ConfigurationError("personas: there is none")
    return indexed


def _is_profile(entry: abc.Traversable) -> bool:
    # Editors and file systems leave hidden copies behind, such as ._Ada.toml.
    return entry.name.lower().endswith(".toml") and not entry.name.startswith(".") and entry.is_file()


def _is_username(text: str) -> bool:
    return 0 < len(text) <= MAX_USERNAME_CHARS and text == text.strip() and text.isprintable()


def _username(file: abc.Traversable) -> str:
    # Some file systems return names in decomposed form; requests have the composed form.
    return unicodedata.normalize("NFC", file.name[: -len(".toml")])


def _read(file: abc.Traversable) -> Persona:
    username = _username(file)
    if not _is_username(username):
        raise ConfigurationError(f"{file}: the file name is the username, which {_USERNAME_RULE}")
    try:
        # Decoded here, because msgspec's error for another encoding depends on its version.
        text = file.read_bytes().removeprefix(b"\xef\xbb\xbf").decode()
        table = toml.decode(text, type=_ProfileFile)
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: is not UTF-8") from error
    except MsgspecError as error:
        raise ConfigurationError(f"{file}: {_one_based(str(error))}") from error
    return _persona(file, username, table)


def _persona(file: abc.Traversable, username: str, table: _ProfileFile) -> Persona:
    first_language = table.languages[0]

    def filled(text: str, key: str) -> str:
        if not text.strip():
            raise ConfigurationError(f"{file}: `{key}` is blank")
        return text.strip()

    def translated(texts: dict[str, str], key: str) -> dict[str, str]:
        if first_language not in texts:
            raise ConfigurationError(f"{file}: `{key}` lacks `{first_language}`, the first of `languages`")
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


def _one_based(message: str) -> str:
    """Rewrite the location in an error of msgspec, counting notes from one: `$.notes[2].source` is in note 3."""
    message = re.sub(r"\$\.notes\[(\d+)\]\.?", lambda found: f"note {int(found[1]) + 1}: ", message)
    return message.replace("`$.", "`").replace(": `", "`")

"""Tests of profiles: the format, its errors, and the personas that come with the package."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import textwrap
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import persona_stream
from persona_stream.errors import ConfigurationError
from persona_stream.personas.persona import (
    KnowledgeItem,
    Persona,
    __doc__,
    _read,
    bundled_personas,
    index_personas,
    load_personas,
)

LEAST = 'name = "Ada"\nline.en = "A mathematician."\n'
NOTE = '[[notes]]\ntopics = ["loops"]\nsource = "https://example.org/"\ntext.en = "She wrote of loops."\n'
HAN = re.compile("[\u4e00-\u9fff]")


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_bytes(text.encode())
    return file


def test_a_folder_is_loaded_as_a_mapping_by_username(tmp_path: Path) -> None:
    """The file name is the username, and optional keys have defaults."""
    write(
        tmp_path,
        "鲁迅.toml",
        """
        name = "鲁迅 Lu Xun"
        languages = ["zh", "en"]
        prompt = '''
        Speak plainly.
        '''
        line = {zh = "作家", en = "A writer."}
        [[notes]]
        topics = ["铁屋子", "the iron house"]
        source = "https://zh.wikisource.org/wiki/吶喊"
        text.zh = "一间铁屋子。"
        """,
    )
    write(tmp_path, "Ada.toml", LEAST)
    write(tmp_path, "README.md", "not a persona")
    write(tmp_path, "._Ada.toml", "not a persona either")
    assert load_personas(tmp_path) == {
        "Ada": Persona(username="Ada", name="Ada", tagline={"en": "A mathematician."}),
        "鲁迅": Persona(
            username="鲁迅",
            name="鲁迅 Lu Xun",
            tagline={"zh": "作家", "en": "A writer."},
            languages=("zh", "en"),
            prompt="Speak plainly.",
            notes=(
                KnowledgeItem(
                    topics=("铁屋子", "the iron house"),
                    text={"zh": "一间铁屋子。"},
                    source="https://zh.wikisource.org/wiki/吶喊",
                ),
            ),
        ),
    }


@pytest.mark.parametrize(
    ("name", "english", "chinese"),
    [
        ("鲁迅 Lu Xun", "Lu Xun", "鲁迅"),
        ("Ada Lovelace 埃达·洛芙莱斯", "Ada Lovelace", "埃达·洛芙莱斯"),
        ("Ada", "Ada", "Ada"),
        ("鲁迅", "鲁迅", "鲁迅"),
    ],
)
def test_a_name_in_two_scripts_has_a_part_for_each(name: str, english: str, chinese: str) -> None:
    """A name in one script is the same in every language."""
    persona = Persona(username="x", name=name, tagline={})
    assert (persona.name_in("en"), persona.name_in("zh")) == (english, chinese)


@pytest.mark.parametrize(
    ("usernames", "message"),
    [
        ([], "there is none"),
        (["ada", "Ada"], "Ada occurs twice"),
        ([" ada"], "is not a username"),
        ([""], "is not a username"),
    ],
)
def test_personas_of_another_source_are_checked(usernames: list[str], message: str) -> None:
    """As those of a folder are."""
    personas = [Persona(username=username, name="Ada", tagline={}) for username in usernames]
    with pytest.raises(ConfigurationError, match=message):
        index_personas(personas)
    with pytest.raises(ConfigurationError, match="str is not a Persona"):
        index_personas(["ada"])  # type: ignore[list-item]  # what an application may return


def test_the_example_in_the_documentation_is_a_persona(tmp_path: Path) -> None:
    """The example in the module's docstring can be loaded."""
    assert __doc__ is not None
    example = __doc__.split("::\n", 1)[1].split("\n\n``line``", 1)[0]
    write(tmp_path, "AdaLovelace.toml", textwrap.dedent(example))
    persona = load_personas(tmp_path)["AdaLovelace"]
    assert (persona.languages, len(persona.notes)) == (("en", "zh"), 1)
    assert persona.prompt.startswith("You speak as Ada Lovelace")


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    """Some editors write one."""
    write(tmp_path, "Ada.toml", "\ufeff" + LEAST)
    assert load_personas(tmp_path)["Ada"].name == "Ada"


def test_a_decomposed_file_name_gives_a_composed_username(tmp_path: Path) -> None:
    """Some file systems decompose é, and requests do not."""
    write(tmp_path, unicodedata.normalize("NFD", "Zoé.toml"), LEAST)
    assert list(load_personas(tmp_path)) == [unicodedata.normalize("NFC", "Zoé")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "Invalid value"),
        (LEAST + 'name = "Again"', "Cannot overwrite a value"),
        ('line.en = "x"', "missing required field `name`"),
        ('name = "Ada"', "missing required field `line`"),
        (LEAST + "nmae = 1", "unknown field `nmae`"),
        (LEAST + "languages = []", "at `languages`"),
        (LEAST + 'languages = ["English"]', "at `languages[0]`"),
        (LEAST.replace('"Ada"', "1"), "Expected `str`, got `int` - at `name`"),
        (LEAST.replace('"Ada"', '"  "'), "`name` is blank"),
        (LEAST + 'languages = ["zh"]', "`line` lacks `zh`, the first of `languages`"),
        ('name = "Ada"\nline.en = ""', "`line.en` is blank"),
        (LEAST + NOTE + NOTE.replace("topics", "topic"), "unknown field `topic` - at `note 2`"),
        (LEAST + NOTE.replace('topics = ["loops"]\n', ""), "missing required field `topics` - at `note 1`"),
        (LEAST + NOTE.replace('["loops"]', "[]"), "at `note 1: topics`"),
        (LEAST + NOTE.replace('"loops"', '" "'), "`note 1: topics` is blank"),
        (LEAST + NOTE.replace("https://example.org/", "a book"), "at `note 1: source`"),
        (LEAST + NOTE.replace("https://example.org/", "javascript:alert(1)"), "at `note 1: source`"),
        (LEAST + NOTE.replace("text.en", "text.zh"), "`note 1: text` lacks `en`"),
        (LEAST + NOTE.replace("She wrote of loops.", " "), "`note 1: text.en` is blank"),
        (LEAST + NOTE.replace("text.en", "text.EN"), "`note 1: text`"),
    ],
)
def test_the_error_for_an_invalid_profile_names_the_file_and_the_key(tmp_path: Path, text: str, said: str) -> None:
    """The server does not start."""
    file = write(tmp_path, "Ada.toml", text)
    with pytest.raises(ConfigurationError) as refused:
        load_personas(tmp_path)
    assert str(refused.value).startswith(f"{file}: ")
    assert said in str(refused.value)


def test_a_profile_in_another_encoding_is_rejected(tmp_path: Path) -> None:
    """TOML is UTF-8."""
    file = tmp_path / "Ada.toml"
    file.write_bytes('name = "中文"'.encode("gbk"))
    with pytest.raises(ConfigurationError, match=r"Ada\.toml: is not UTF-8"):
        load_personas(tmp_path)


@pytest.mark.parametrize("name", ["x" * 65, " Ada", "Ada ", "A\tda", " "])
def test_a_file_name_that_is_no_valid_username_is_rejected(tmp_path: Path, name: str) -> None:
    """A username has 1 to 64 printable characters, and no space at either end."""
    write(tmp_path, f"{name}.toml", LEAST)
    with pytest.raises(ConfigurationError, match="1 to 64 printable characters"):
        load_personas(tmp_path)


def test_the_limit_of_a_username_counts_characters_and_not_bytes(tmp_path: Path) -> None:
    """A Chinese name may be as long as any."""
    name = "鲁" * 64
    write(tmp_path, f"{name}.toml", LEAST)
    assert list(load_personas(tmp_path)) == [name]


@pytest.mark.parametrize(("one", "other"), [("Ada.toml", "ada.toml"), ("Ada.toml", "Ada.TOML")])
def test_two_files_for_one_username_are_rejected(tmp_path: Path, one: str, other: str) -> None:
    """Usernames that differ only in case would be confused."""
    write(tmp_path, one, LEAST)
    write(tmp_path, other, LEAST)
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system takes the two names for one")
    with pytest.raises(ConfigurationError, match="username") as refused:
        load_personas(tmp_path)
    assert one in str(refused.value)
    assert other in str(refused.value)


def test_an_empty_folder_is_rejected(tmp_path: Path) -> None:
    """A server without personas would be a mistake."""
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigurationError, match=re.escape(f"there is no .toml file in {tmp_path}")):
        load_personas(tmp_path)


@pytest.mark.parametrize("make", [Path.touch, lambda path: None], ids=["a file", "nothing"])
def test_a_path_that_is_not_a_folder_is_rejected(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """The error names the path."""
    place = tmp_path / "personas"
    make(place)
    with pytest.raises(ConfigurationError, match=re.escape(f"{place} is not a readable folder")):
        load_personas(place)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_file_content_is_a_persona_or_a_configuration_error(content: bytes) -> None:
    """No other exception escapes."""

    class File:
        name = "Ada.toml"

        def read_bytes(self) -> bytes:
            return content

    with contextlib.suppress(ConfigurationError):
        assert _read(File()).name  # type: ignore[arg-type]  # all that it asks of a Traversable


BUNDLED = bundled_personas()


def test_the_package_contains_at_least_four_personas_one_of_them_chinese() -> None:
    """Among them the persona of the examples."""
    assert len(BUNDLED) >= 4
    assert "VitalikButerin" in BUNDLED
    assert [name for name, persona in BUNDLED.items() if persona.languages[0] == "zh"]


@pytest.mark.parametrize("persona", BUNDLED.values(), ids=list(BUNDLED))
def test_a_bundled_persona_has_all_texts_in_both_languages(persona: Persona) -> None:
    """Taglines, notes and titles."""
    assert sorted(persona.languages) == ["en", "zh"]
    assert persona.prompt
    for texts in (persona.tagline, *(note.text for note in persona.notes)):
        assert sorted(texts) == ["en", "zh"]
        assert HAN.search(texts["zh"])
        assert not HAN.search(texts["en"])
    for note in persona.notes:
        assert any(HAN.search(topic) for topic in note.topics), note.topics
        assert any(not HAN.search(topic) for topic in note.topics), note.topics


@pytest.mark.parametrize("persona", BUNDLED.values(), ids=list(BUNDLED))
def test_a_bundled_note_is_short_and_has_a_source(persona: Persona) -> None:
    """It has one to three sentences, and a title of its own."""
    assert len(persona.notes) >= 12
    for note in persona.notes:
        assert note.source.startswith("https://")
        assert len(re.findall(r"(?<![A-Z])[.?!][”)]?(?= [A-Z“]|$)", note.text["en"])) <= 3, note.text["en"]
        assert len(note.topics) == len(set(note.topics))
    for chinese in (True, False):
        titles = [next(t for t in note.topics if bool(HAN.search(t)) == chinese) for note in persona.notes]
        assert len(titles) == len(set(titles))


def test_the_bundled_personas_can_be_loaded_from_a_zip(tmp_path: Path) -> None:
    """They are package data."""
    package = Path(persona_stream.__file__).parent
    archive = tmp_path / "package.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in (*package.rglob("*.py"), *package.glob("personas/*.toml")):
            packed.write(file, f"persona_stream/{file.relative_to(package)}")
    script = "from persona_stream.personas import persona; print(persona.__file__); print(*persona.bundled_personas())"
    path = f"import sys; sys.path.insert(0, {str(archive)!r}); "
    done = subprocess.run([sys.executable, "-c", path + script], capture_output=True, text=True, check=True)
    place, names = done.stdout.splitlines()
    assert place.startswith(str(archive))
    assert names.split() == list(BUNDLED)

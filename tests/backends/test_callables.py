"""Tests of backends from user functions: parameters, kinds of callables, import paths and generators."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from persona_stream.backends.base import Backend
from persona_stream.backends.callables import from_callable, from_import_path
from persona_stream.core.query import Answer, Principal, Query, Turn
from persona_stream.errors import ConfigurationError
from persona_stream.personas.persona import Persona
from tests.fakes import query_with

if TYPE_CHECKING:
    from nowhere import Unresolvable  # type: ignore[import-not-found]  # no such module: only annotations name it

PERSONA = Persona(username="ada", name="Ada", tagline={"en": "Counts."}, prompt="You are Ada.")
QUERY = Query(
    username="ada",
    message="How many?",
    prompt="Be brief.",
    prompt_mode="replace",
    conversation_id="c1",
    locale="en",
    persona=PERSONA,
    history=(Turn("user", "Hello"),),
    parameters={"temperature": 0.5},
    principal=Principal(subject="s1"),
    timeout=20.0,
)
BARE = Query(username="ada", message="How many?")
FIELDS = {
    "username": "ada",
    "message": "How many?",
    "prompt": "Be brief.",
    "prompt_mode": "replace",
    "conversation_id": "c1",
    "locale": "en",
    "persona": PERSONA,
    "history": (Turn("user", "Hello"),),
    "parameters": {"temperature": 0.5},
    "principal": Principal(subject="s1"),
    "timeout": 20.0,
}


def one_message(message: str) -> Any:
    return {"message": message}


def positional_only(message: str, /) -> Any:
    return {"message": message}


def positional_only_query(anything, /) -> Any:  # type: ignore[no-untyped-def]  # without annotation is the point
    return anything


def unannotated(q) -> Any:  # type: ignore[no-untyped-def]  # without annotation is the point
    return q


def unannotated_with_defaults(q, size=3, *, deep=False) -> Any:  # type: ignore[no-untyped-def]  # the same
    return (q, size, deep)


def annotated(anything: Query) -> Any:
    return anything


def annotated_optional(anything: Query | None = None) -> Any:
    return anything


def annotated_more(anything: Annotated[Query, "ours"]) -> Any:
    return anything


def unresolvable(anything: Query, other: Unresolvable | None = None) -> Any:
    return (anything, other)


def called_query(query) -> Any:  # type: ignore[no-untyped-def]  # without annotation is the point
    return query


def keyword_only(*, username: str, history: tuple[Turn, ...]) -> Any:
    return {"username": username, "history": history}


def query_beside(message: str, query: Query, *, locale: str = "zh", size: int = 3) -> Any:
    return (message, query, locale, size)


def everything(**fields: Any) -> Any:
    return fields


def some_and_the_rest(message: str, *args: Any, **rest: Any) -> Any:
    return (message, args, sorted(rest))


def query_and_the_rest(query: Query, **rest: Any) -> Any:
    return (query, sorted(rest))


def filled(size: int, message: str, username: str = "nobody", deep: bool = False) -> Any:
    return (size, message, username, deep)


@functools.wraps(one_message)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return one_message(*args, **kwargs)


class Shop:
    def ask(self, message: str) -> Any:
        return {"message": message}

    @classmethod
    def ask_class(cls, message: str) -> Any:
        return {"message": message}

    @staticmethod
    def ask_static(message: str) -> Any:
        return {"message": message}

    def __call__(self, username: str) -> Any:
        return {"username": username}


class AsyncShop:
    async def __call__(self, message: str) -> str:
        return message.upper()


async def ask_async(message: str, size: int = 1) -> str:
    return message.upper() * size


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (one_message, {"message": "How many?"}),
        (positional_only, {"message": "How many?"}),
        (positional_only_query, QUERY),
        (unannotated, QUERY),
        (lambda q: q, QUERY),
        (unannotated_with_defaults, (QUERY, 3, False)),
        (annotated, QUERY),
        (annotated_optional, QUERY),
        (annotated_more, QUERY),
        (unresolvable, (QUERY, None)),
        (called_query, QUERY),
        (keyword_only, {"username": "ada", "history": (Turn("user", "Hello"),)}),
        (query_beside, ("How many?", QUERY, "en", 3)),
        (everything, FIELDS),
        (some_and_the_rest, ("How many?", (), sorted(FIELDS.keys() - {"message"}))),
        (query_and_the_rest, (QUERY, sorted(FIELDS))),
        (functools.partial(filled, 7), (7, "How many?", "ada", False)),
        (functools.partial(filled, size=7), (7, "How many?", "ada", False)),
        (functools.partial(filled, 7, username="grace"), (7, "How many?", "grace", False)),
        (functools.partial(functools.partial(filled, username="grace"), size=7), (7, "How many?", "grace", False)),
        (functools.partial(everything, message="fixed"), FIELDS | {"message": "fixed"}),
        (wrapped, {"message": "How many?"}),
        (Shop().ask, {"message": "How many?"}),
        (Shop.ask_class, {"message": "How many?"}),
        (Shop.ask_static, {"message": "How many?"}),
        (Shop(), {"username": "ada"}),
        (Shop, {"username": "ada"}),
    ],
)
def test_parameters_are_bound_by_name_or_annotation(function: Callable[..., object], result: object) -> None:
    """For every kind of callable."""
    backend = from_callable(function)
    assert backend.process_query(QUERY) == result
    assert not backend.is_async


def test_the_cancel_token_is_bound_by_its_name_only() -> None:
    """``cancelled`` is not among ``**kwargs``."""
    assert from_callable(lambda message, cancelled=None: cancelled).process_query(QUERY) is QUERY.cancelled


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_every_field_is_bound_by_its_name(field: str) -> None:
    """Also as the only parameter."""
    function = eval(f"lambda {field}: {field}")
    assert from_callable(function).process_query(QUERY) == FIELDS[field]


def test_a_default_stays_if_the_field_is_none() -> None:
    """Without a default, the parameter is None."""

    def ask(message: str, prompt: str = "my own", persona: str = "mine", locale: str = "fr") -> tuple[str, ...]:
        return message, prompt, persona, locale

    def ask_bare(prompt: str | None, persona: Persona | None) -> tuple[object, ...]:
        return prompt, persona

    assert from_callable(ask).process_query(BARE) == ("How many?", "my own", "mine", "zh")
    assert from_callable(ask).process_query(QUERY) == ("How many?", "Be brief.", PERSONA, "en")
    assert from_callable(ask_bare).process_query(BARE) == (None, None)


@pytest.mark.parametrize("function", [annotated, called_query, unannotated, positional_only_query])
def test_a_function_of_a_query_is_called_directly(function: Callable[..., object]) -> None:
    """A function that takes the whole query is not wrapped, which keeps its traceback short."""
    assert from_callable(function).process_query is function


@pytest.mark.parametrize(
    "function",
    [
        ask_async,
        functools.partial(ask_async, size=1),
        functools.partial(functools.partial(ask_async), size=1),
        AsyncShop(),
        AsyncShop,
        AsyncShop().__call__,
        functools.partial(AsyncShop()),
    ],
)
def test_async_callables_are_detected(function: Callable[..., object]) -> None:
    """Functions, methods, objects, and partials of them."""
    backend = from_callable(function)
    assert backend.is_async
    result: Any = backend.process_query(QUERY)
    assert asyncio.run(result) == "HOW MANY?"


def generates(message: str) -> Iterator[str]:
    yield from message


def generates_and_returns(message: str) -> Generator[str, None, Answer]:
    yield from message
    return Answer("!", reasoning="Hm.")


async def generates_async(message: str) -> Any:
    for letter in message:
        yield letter


class Generates:
    def __call__(self, message: str) -> Iterator[str]:
        yield from message


class CannotFly:
    abilities = frozenset({"fly"})

    def __call__(self, message: str) -> str:
        return message


class NeedsArguments:
    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, message: str) -> str:
        return self.key + message


def hides(*args: Any, **kwargs: Any) -> str:
    return ""


def only_args(*args: Any) -> str:
    return ""


def nothing() -> str:
    return ""


def nothing_of_a_query(size: int = 3) -> str:
    return ""


def unknown(text: str) -> str:
    return text


def two_unknown(a, b) -> str:  # type: ignore[no-untyped-def]  # without annotation is the point
    return ""


def unknown_beside(q, message) -> str:  # type: ignore[no-untyped-def]  # the same
    return ""


def unknown_keyword(*, q) -> str:  # type: ignore[no-untyped-def]  # the same
    return ""


def two_by_position(username: str, message: str, /) -> str:
    return ""


def query_as_text(query: str) -> str:
    return query


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (unknown, ["test_callables:unknown", "parameter text", "query, username, message, prompt, prompt_mode"]),
        (two_unknown, ["two_unknown", "parameter a"]),
        (unknown_beside, ["unknown_beside", "parameter q"]),
        (unknown_keyword, ["unknown_keyword", "parameter q"]),
        (two_by_position, ["two_by_position", "parameter message", "positional-only"]),
        (query_as_text, ["query_as_text", "annotated str", "name it message"]),
        (Shop.ask, ["Shop.ask", "method without its object", "module:object.method"]),
        (hides, ["hides", "functools.wraps", "message"]),
        (only_args, ["only_args", "takes no part of a query"]),
        (nothing, ["nothing", "takes no part of a query", "message"]),
        (nothing_of_a_query, ["nothing_of_a_query", "takes no part of a query"]),
        (functools.partial(one_message, message="fixed"), ["one_message", "takes no part of a query"]),
        (
            CannotFly(),
            ["CannotFly.abilities", "{'fly'}", "tools, images, files, audio_input, prefill"],
        ),
        (NeedsArguments, ["NeedsArguments", "without arguments", "TypeError", "create the object yourself"]),
        (SimpleNamespace, ["SimpleNamespace", "is a class whose objects cannot be called"]),
        ("ask", ["builtins:str", "is a str, which cannot be called"]),
        (17, ["is an int, which cannot be called"]),
        (None, ["is a NoneType, which cannot be called"]),
        (isinstance, ["builtins:isinstance", "parameter obj"]),
        (iter, ["cannot be read", "a function of your own"]),
    ],
)
def test_unusable_callables_are_rejected_at_start(function: object, words: list[str]) -> None:
    """The error names the callable, the problem and the solution."""
    with pytest.raises(ConfigurationError) as refused:
        from_callable(function)
    for word in words:
        assert word in str(refused.value)


def test_the_name_of_a_backend_is_given_or_the_callables_own() -> None:
    """It appears in the log."""
    assert from_callable(one_message, "mine").name == "mine"
    assert from_callable(one_message).name.endswith("test_callables:one_message")
    assert from_callable(functools.partial(filled, 7)).name.endswith("test_callables:filled")
    assert from_callable(Shop()).name.endswith("test_callables:Shop")


SHOP = """
def ask(message: str) -> str:
    return message.upper()

class Shop:
    def ask(self, message: str) -> str:
        return "shop: " + message

class Street:
    shop = Shop()

street = Street()
text = "no function"
"""

FILES = {
    "shop_of_test.py": SHOP,
    "folder_of_test/__init__.py": "",
    "folder_of_test/inner.py": SHOP,
    "broken_of_test.py": "1 / 0",
    "unclear_of_test.py": "def ask(:",
    "script_of_test.py": "import sys; sys.exit(3)",
    "needy_of_test.py": "import not_installed_anywhere",
    "late_of_test.py": "def ask(message):\n    import shop_of_test\n    return shop_of_test.ask(message)",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in set(sys.modules) - before:
        if "_of_test" in name:
            del sys.modules[name]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        ("shop_of_test:ask", "HOW MANY?"),
        ("shop_of_test:street.shop.ask", "shop: How many?"),
        ("folder_of_test.inner:ask", "HOW MANY?"),
        ("late_of_test:ask", "HOW MANY?"),
    ],
)
def test_an_import_path_names_a_function_in_the_current_directory(spec: str, answer: str) -> None:
    """Later imports of the module are found there, too."""
    backend = from_import_path(spec)
    assert backend == Backend(spec, backend.process_query, False)
    assert backend.process_query(QUERY) == answer


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("spec", "words", "cause"),
    [
        ("", ["'' is not an import path", "module:function or module:object.method"], None),
        ("shop_of_test", ["module:function"], None),
        ("shop_of_test:", ["module:function"], None),
        (":ask", ["module:function"], None),
        ("shop_of_test:ask()", ["module:function"], None),
        ("shop_of_test:ask:more", ["module:function"], None),
        ("shop-of-test:ask", ["module:function"], None),
        ("folder_of_test/inner.py:ask", ["dots and not slashes"], None),
        (" shop_of_test:ask", ["module:function"], None),
        ("shop_of_test.py:ask", ["a file name", "write shop_of_test"], ModuleNotFoundError),
        ("missing_of_test:ask", ["no module missing_of_test", "folder that contains it"], ModuleNotFoundError),
        ("folder_of_test.missing:ask", ["no module folder_of_test.missing"], ModuleNotFoundError),
        ("missing_of_test.inner:ask", ["no module missing_of_test:"], ModuleNotFoundError),
        ("needy_of_test:ask", ["needy_of_test needs not_installed_anywhere"], ModuleNotFoundError),
        ("broken_of_test:ask", ["broken_of_test", "ZeroDivisionError", "python -c"], ZeroDivisionError),
        ("unclear_of_test:ask", ["unclear_of_test", "SyntaxError"], SyntaxError),
        ("script_of_test:ask", ["script_of_test", "SystemExit: 3"], SystemExit),
        ("shop_of_test:aks", ["shop_of_test has no aks: did you mean ask?"], AttributeError),
        ("shop_of_test:street.shop.zzz", ["shop_of_test.street.shop has no zzz"], AttributeError),
        ("shop_of_test:text", ["shop_of_test:text is a str, which cannot be called"], None),
        ("shop_of_test:Shop.ask", ["shop_of_test:Shop.ask", "method without its object"], None),
        ("os:getpid", ["os:getpid takes no part of a query"], None),
    ],
)
def test_an_invalid_import_path_is_a_configuration_error(
    spec: str, words: list[str], cause: type[BaseException] | None
) -> None:
    """Its text says how to fix it, and its cause is kept."""
    with pytest.raises(ConfigurationError) as refused:
        from_import_path(spec)
    for word in words:
        assert word in str(refused.value)
    assert type(refused.value.__cause__) is (cause or type(None))


def test_the_current_directory_is_importable_from_an_installed_program(folder: Path) -> None:
    """As a console script is started."""
    program = folder.parent / "elsewhere.py"
    program.write_text(
        "from persona_stream.backends.callables import from_import_path\n"
        "from persona_stream import Query\n"
        "print(from_import_path('shop_of_test:ask').process_query(Query(username='a', message='yes')))\n"
    )
    done = subprocess.run([sys.executable, program], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "YES\n"


def test_results_and_exceptions_pass_through() -> None:
    """Unchanged."""
    answer = Answer("42")

    def broken(message: str) -> str:
        raise LookupError(message)

    assert from_callable(lambda message: answer).process_query(QUERY) is answer
    with pytest.raises(LookupError, match="How many"):
        from_callable(broken).process_query(QUERY)


@pytest.mark.parametrize(
    ("function", "rest"),
    [
        (generates, ""),
        (generates_async, ""),
        (generates_and_returns, Answer("!", reasoning="Hm.")),
        (functools.partial(generates), ""),
        (functools.wraps(generates)(lambda message: generates(message)), ""),  # exalearn/colmena #129
        (Generates(), ""),
        (Generates, ""),
    ],
)
def test_the_texts_of_a_generator_are_sent_as_they_come(function: object, rest: object) -> None:
    """Its return value is the rest of the answer."""
    sent: list[str] = []
    backend = from_callable(function)
    result = backend.process_query(query_with(BARE, on_text=sent.append))
    returned = asyncio.run(result) if backend.is_async else result
    assert sent == list(BARE.message)
    assert returned == rest


# What generators yield that forward the deltas of a stream of OpenAI's API.
DELTAS = {
    "first, with the role (heurist-network/miner-release PR 18)": (None, "Conf", "ident"),
    "last, with the reason (microsoft/graphrag PR 520)": ("Conf", "ident", None),
    "last, of a proxy (BerriAI/litellm #2010)": ("Conf", "ident", "", None),
    "on both sides (abi/screenshot-to-code #336)": (None, "Conf", "ident", None),
    "to keep the connection alive (microsoft/autogen PR 7355)": (None, "Conf", None, None, "ident", None),
    "while the model reasons (NousResearch/hermes-agent PR 80822)": (*[None] * 50, "Conf", "ident"),
}


def forward(parts: Iterable[object], *, is_async: bool) -> Callable[[str], Any]:
    """Return a generator function that yields these parts."""

    def ask(message: str) -> Iterator[object]:
        yield from parts

    async def ask_async(message: str) -> AsyncIterator[object]:
        for each in parts:
            yield each

    return ask_async if is_async else ask


def run_generator(backend: Backend, query: Query) -> None:
    result: Any = backend.process_query(query)
    if backend.is_async:
        asyncio.run(result)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", DELTAS)
def test_a_generator_may_yield_none(kind: str, is_async: bool) -> None:
    """It is nothing, wherever it comes."""
    sent: list[str] = []
    run_generator(from_callable(forward(DELTAS[kind], is_async=is_async)), query_with(BARE, on_text=sent.append))
    assert [text for text in sent if text] == ["Conf", "ident"]  # an empty one only lets other greenlets run


def test_none_can_be_sent() -> None:
    """As text and as reasoning (agent0ai/agent-zero PR 887, run-llama/llama_index #11029)."""
    sent: list[str] = []
    query = query_with(BARE, on_text=sent.append, on_reasoning=sent.append)
    query.send(None)
    query.send_reasoning(None)
    assert sent == ["", ""]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        pytest.param({"text": "Conf"}, "dict", id="Kludex/starlette #419"),
        pytest.param({"type": "content_block_delta"}, "dict", id="BerriAI/litellm #11045"),
        pytest.param([{"type": "text", "text": "Conf"}], "list", id="open-webui/open-webui PR 28840"),
        pytest.param(b"Conf", "bytes", id="django/django PR 11608"),
        pytest.param(0, "int", id="andreif/codegen #14"),
    ],
)
def test_a_generator_of_other_values_is_named_in_the_error(value: object, kind: str, is_async: bool) -> None:
    """With the line that yielded the value."""
    backend = from_callable(forward(["before", value], is_async=is_async), "my_bot:ask")
    line = forward.__code__.co_firstlineno + (8 if is_async else 4)
    with pytest.raises(TypeError, match=rf"^my_bot:ask yielded {kind} at .*test_callables\.py:{line}: yield strings$"):
        run_generator(backend, query_with(BARE, on_text=lambda text: None))


def test_a_decorator_may_make_an_answer_of_a_generator() -> None:
    """It is a function then, whatever it wraps."""
    ask = functools.wraps(generates)(lambda message: "".join(generates(message)))
    assert from_callable(ask).process_query(BARE) == BARE.message


def test_an_interrupted_generator_is_closed() -> None:
    """Its ``finally`` runs."""
    ended: list[str] = []

    def ask(message: str) -> Iterator[str]:
        try:
            yield message
        finally:
            ended.append(message)

    def refuse(text: str) -> None:
        raise KeyError(text)

    with pytest.raises(KeyError):
        from_callable(ask).process_query(query_with(BARE, on_text=refuse))
    assert ended == [BARE.message]


@pytest.mark.parametrize("attribute", ["capabilities", "abilities"])
def test_an_attribute_declares_the_capabilities_of_a_callable(attribute: str) -> None:
    """Under either name; without it a callable has none."""

    def ask(query: Query) -> str:
        return query.tools[0].name

    assert from_callable(ask).capabilities == frozenset()
    setattr(ask, attribute, {"tools", "images"})
    assert from_callable(ask).capabilities == {"tools", "images"}


def test_capabilities_take_precedence_over_their_former_name() -> None:
    """A function that declares both keeps working with older releases."""

    def ask(message: str) -> str:
        return message

    ask.abilities = {"tools"}
    ask.capabilities = {"images"}
    assert from_callable(ask).capabilities == {"images"}


def test_a_callable_declares_its_title_and_ideas_for_pages() -> None:
    """Both survive the way to the server as a description; without them they are empty."""

    def ask(message: str) -> str:
        return message

    assert (from_callable(ask).title, from_callable(ask).ideas) == ("", ())
    ask.title = "Handbook search"
    ask.ideas = ["How much leave do I have?"]
    backend = from_callable(ask)
    described = Backend("placeholder", backend.process_query).described(backend.describe())
    assert (described.title, described.ideas) == ("Handbook search", ("How much leave do I have?",))


@pytest.mark.parametrize(("attribute", "value"), [("title", 5), ("ideas", "one"), ("ideas", [1])])
def test_a_malformed_title_or_idea_stops_the_start(attribute: str, value: object) -> None:
    """The message names the attribute."""

    def ask(message: str) -> str:
        return message

    setattr(ask, attribute, value)
    with pytest.raises(ConfigurationError, match=f"{attribute} is"):
        from_callable(ask)

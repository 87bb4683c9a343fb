"""Decide in which language to answer."""

from __future__ import annotations

import re

from persona_stream.backends.demo.words import HAN, MOST_READ
from persona_stream.core.query import Locale
from persona_stream.personas.persona import Persona

_HAN = re.compile(f"[{HAN}]")
_LATIN_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+")
_CHINESE_GRAMMAR = re.compile("[的了吗呢吧么什怎是请谁哪和与]|如何|介绍|谈谈|说说|讲讲")

_NAME = r"(?:(?P<zh>chinese|mandarin)|(?P<en>english))\b"
# What follows keeps "in Chinese history" and "use English sources" from being a wish.
_END = r"(?=\s*(?:$|[^\w\s]|(?:and|but|please|only|always|with|when|even|though|for|in|using|to)\b))"
_IN = rf"\b(?:in|use|using|speak|talk)\s+(?:(?:simplified|traditional|plain|simple|good)\s+)?{_NAME}{_END}"
_ONLY = r"\b(?=\w+,?\s+(?:please|only)\b)" + _NAME
_NOT = r"(?P<not>(?:\bnot|n['’]t|\bnever)\s+(?:\w+\s+){0,2})?"
_VERB = r"\b(?:answer|reply|respond|write|explain|tell|speak|describe|summari[sz]e)\b"
_SAME_SENTENCE = r"(?:(?!\bnot\b|n['’]t\b)[^.!?\n]){0,80}?"

_NAME_ZH = r"(?:(?P<zh>(?:简体|繁体)?(?:中文|汉语|华语|普通话|国语)|白话文|chinese)|(?P<en>英文|英语|english))"
_NOT_ZH = r"(?P<not>(?:不要|不用|不得|不必|别|勿)再?\s*)?"
_HOW_ZH = r"\s*(?:来|帮我|给我|为我|向我|简单|简要|简短|详细)*"
_VERB_ZH = r"(?:回答|回复|作答|输出|解释|介绍|说明|描述|总结|写|说|讲|谈|答)"


def _patterns(*sources: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(source, re.IGNORECASE) for source in sources)


# A prompt is there to give orders, so naming a language is enough; a message may speak about languages.
_PROMPT_WISHES = _patterns(
    _NOT + _IN,
    _NOT + _ONLY,
    rf"{_NOT_ZH}(?:使用|改用|用|以|说|讲)\s*{_NAME_ZH}",
    rf"{_NOT_ZH}(?<![用以说讲])(?<![用以说讲]\s){_NAME_ZH}\s*{_VERB_ZH}",
)
_MESSAGE_WISHES = _patterns(
    _NOT + _VERB + _SAME_SENTENCE + _IN,
    rf"{_NOT_ZH}用\s*{_NAME_ZH}{_HOW_ZH}{_VERB_ZH}",
)


def language(message: str, prompt: str | None, persona: Persona) -> Locale:
    """Give the language of the answer: the one that is wished for, else the message's, if the persona speaks it.

    A wish in the prompt comes before one in the message. Of several, the last one counts. Of a very long message
    only the beginning is read, and of a prompt the end.
    """
    beginning = message[:MOST_READ]
    wanted = wished(prompt or "") or _last(beginning, _MESSAGE_WISHES) or _written_in(beginning)
    spoken: list[Locale] = [ours for ours in ("zh", "en") if ours in persona.languages]
    return wanted if wanted in spoken or not spoken else spoken[0]


def wished(prompt: str) -> Locale | None:
    """Give the language that a prompt asks for, if it asks for one."""
    return _last(prompt[-MOST_READ:], _PROMPT_WISHES)


def is_chinese(text: str) -> bool:
    """Tell whether there is a Chinese character in a text."""
    return _HAN.search(text) is not None


def _written_in(message: str) -> Locale:
    # A Chinese character carries about as much as a word, so names and terms in Latin letters do not outweigh it.
    characters, words = len(_HAN.findall(message)), len(_LATIN_WORD.findall(message))
    return "zh" if characters > words or (characters and _CHINESE_GRAMMAR.search(message)) else "en"


def _last(text: str, patterns: tuple[re.Pattern[str], ...]) -> Locale | None:
    wishes = [wish for pattern in patterns for wish in pattern.finditer(text) if not wish["not"]]
    if not wishes:
        return None
    return "zh" if max(wishes, key=lambda wish: wish.end())["zh"] else "en"

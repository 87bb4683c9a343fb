"""Every sentence of the demo that is not a note, in both languages.

Placeholders: {name} the persona, {line} who it is, {question} and {earlier} what was asked, {label} and {labels} titles
of notes, {total} how many notes the profile has, {count} how many fit, {text} what a note says.
In Chinese a name in Latin letters stands between spaces; a Chinese one is written without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from persona_stream.core.query import Locale


@dataclass(frozen=True, slots=True)
class Phrases:
    """Hold the sentences of an answer. Where there are several, the question decides which one is taken."""

    full_stop: str
    quote_stop: str
    between_sentences: str
    between_labels: str
    last_label: str
    label: str
    opening: tuple[str, ...]
    opening_one: str
    follow_up: tuple[str, ...]
    exhausted: str
    greeting: str
    invitation: str
    nothing: str
    offer: str
    no_notes: str
    second: tuple[str, ...]
    later: tuple[str, ...]
    nearby: str
    nearby_second: str
    closing: tuple[str, ...]
    closing_without_sources: str
    prompt_unread: str
    sources: str
    source: str
    ranking: str
    ranked: str


EN = Phrases(
    full_stop=".",
    quote_stop=".",
    between_sentences=" ",
    between_labels=", ",
    last_label=" and ",
    label="{label}",
    opening=(
        "You ask: “{question}” In the profile of {name} I find {count} notes on that; the best fit is about {label}.",
        "“{question}” There are {count} notes on that in the profile of {name}; let me begin with {label}.",
        "You ask: “{question}” The profile of {name} has {count} notes on that, and the closest is about {label}.",
    ),
    opening_one="You ask: “{question}” The profile of {name} has one note on that, about {label}.",
    follow_up=(
        "You go on: “{question}” I take that together with your earlier “{earlier}”, and turn to {label}.",
        "“{question}” I read that as going on from “{earlier}”, and continue with {label}.",
    ),
    exhausted=(
        "You go on: “{question}” On your earlier “{earlier}” I have told what the profile holds; what is left is close "
        "by."
    ),
    greeting="Hello! I am the demo persona of {name}. In one line: {line} Here is something to begin with.",
    invitation="You can ask me about {labels}.",
    nothing=(
        "You ask: “{question}” I have gone through all {total} notes in the profile of {name}, and none of them is "
        "about that, so I would rather not guess."
    ),
    offer="Among the things I can talk about are {labels}.",
    no_notes="The profile of {name} holds no notes yet, so this demo has nothing to answer from.",
    second=("On {label} there is this to add: {text}", "And on {label}: {text}"),
    later=("Next, {label}. {text}", "It is also worth looking at {label}. {text}"),
    nearby="You did not ask about {label}, but the note is close by: {text}",
    nearby_second="So is the one on {label}: {text}",
    closing=(
        "That was the demo persona of {name}: no language model, and not {name} in person, but a profile's notes, "
        "ranked for your question. You can check each of them at its source.",
        "I am only the demo persona of {name}. I speak from the notes of a profile, without a language model, and "
        "not in the name of {name}; the sources below let you check every one of them.",
    ),
    closing_without_sources=(
        "I am only the demo persona of {name}: I answer from the notes of a profile, without a language model."
    ),
    prompt_unread="(Of an additional prompt this demo follows only a wish for Chinese or English.)",
    sources="Sources:",
    source="- {label}: {address}",
    ranking="Notes in the profile: {total}. To do with the question: {count}.",
    ranked="{place}. {label} ({score:.2f})",
)

ZH = Phrases(
    full_stop="。",
    quote_stop="",
    between_sentences="",
    between_labels="、",
    last_label="、",
    label="“{label}”",
    opening=(
        "您问“{question}”，在 {name} 的档案里有 {count} 条笔记谈到它，最贴近的一条讲的是{label}。",
        "您问“{question}”，我在 {name} 的档案里找到 {count} 条笔记，先从{label}说起。",
        "关于“{question}”，在 {name} 的档案里有 {count} 条笔记可以回答，先说最相关的{label}。",
    ),
    opening_one="您问“{question}”，在 {name} 的档案里有一条笔记谈到它，讲的是{label}。",
    follow_up=(
        "您接着问“{question}”，我把它和先前的“{earlier}”放在一起看，这次说说{label}。",
        "“{question}”，我理解为您在接着问“{earlier}”，那就继续谈{label}。",
    ),
    exhausted=("您接着问“{question}”，可是关于先前的“{earlier}”，档案里有的我都已经说过，余下的只是与之相近的。"),
    greeting="您好！我是 {name} 的演示角色。一句话介绍：{line}先说几件事，作为开头。",
    invitation="您可以问我：{labels}。",
    nothing="您问“{question}”，我把 {name} 档案里的 {total} 条笔记都看了一遍，没有一条谈到它，所以不敢妄加猜测。",
    offer="我可以谈的，例如：{labels}。",
    no_notes="在 {name} 的档案里还没有笔记，所以这个演示无从答起。",
    second=("关于{label}，还可以补充：{text}", "还有{label}：{text}"),
    later=("再来看{label}。{text}", "{label}也值得一说。{text}"),
    nearby="您没有直接问到、但与此相近的，是{label}：{text}",
    nearby_second="同样相近的还有{label}：{text}",
    closing=(
        "以上出自 {name} 的演示角色：背后没有语言模型，也不是 {name} 本人，只是把一份档案里的笔记按您的问题排了序。"
        "每一条都可以到出处核对。",
        "我只是 {name} 的演示角色，照着档案里的笔记说话，没有用到语言模型，也不代表 {name} 本人；"
        "下面列出的出处可供逐条核对。",
    ),
    closing_without_sources="我只是 {name} 的演示角色，照着档案里的笔记说话，没有用到语言模型。",
    prompt_unread="（附加提示中，本演示只能听从使用中文或英文的要求。）",
    sources="来源：",
    source="- {label}：{address}",
    ranking="档案里共有 {total} 条笔记，其中与问题有关的有 {count} 条。",
    ranked="{place}. {label}（{score:.2f}）",
)

PHRASES: Mapping[Locale, Phrases] = {"zh": ZH, "en": EN}

"""The words that say nothing of the subject of a question."""

from __future__ import annotations

_ENGLISH = """
a about after again all also am an and any anything are as ask at be been before but by can could describe did do does
doing dont else ever example explain few for from get give go going good got had has have he hello her here hey hi him
his how i if im in into is isnt it its just know let like little lot made main make many may me mean might more most
much my myself no not now of off ok on one only opinion or other our out over own please question really regarding s
said say says should show so some something still such summarize summary sure t talk tell than thank thanks that the
their them then there these they thing think this those thoughts through to today too topic under up us use very view
views want was we well were what whats when where which while who whom whose why will with word words would yes
you your yours yourself
"""

_CHINESE = """
为什么 为何 什么 如何 怎样 何时 何地 何人 哪些 多少 几个 有没有 没有 能否 能不能 不能 是否 可否 可不可以 可以 好吗 你好
一下 一些 一个 一种 一点 觉得 认为 看法 看待 观点 意见 想法 知道 告诉 回答 解释 介绍 谈谈 谈一谈 说说 说一说 讲讲 讲一讲
聊聊 聊一聊 关于 对于 有关 相关 问题 自己 详细 具体 仔细 简单 简短 如果 因为 所以 但是 而且 以及 或者 今天 现在 中文
英文 更多 再说 继续 接着 然后 还有 其他 别的 例子 举例 比如 谢谢 多谢
"""

ENGLISH = frozenset(_ENGLISH.split())
CHINESE = tuple(sorted(_CHINESE.split(), key=len, reverse=True))

# A pair of characters with one of these in it is a joint between words, or no word at all.
CHINESE_CHARACTERS = frozenset("的了吗呢吧么啊呀着们您你我他她它这那哪谁什怎是也很就还请再")

"""Classes of characters, each as the inside of a regular expression's ``[...]``.

*Wide* are the scripts that are written without spaces: Han, kana, bopomofo, Thai.

Sources: Unicode's blocks; for what may not begin or end a line, JIS X 4051 (kinsoku) and the W3C's *Requirements
for Chinese Text Layout*.
"""

from __future__ import annotations

HAN = "\u2e80-\u2fdf\u3005-\u3007\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_BOPOMOFO = "\u3105-\u312f\u31a0-\u31bf"
HIRAGANA = "\u3041-\u3096\u309d-\u309f"
# Vowels that are written before their consonant; vowels and signs that are written behind it.
THAI_LEADING = "\u0e40-\u0e44"
_THAI_FOLLOWING = "\u0e2f-\u0e3a\u0e45-\u0e4e"
_THAI = "\u0e01-\u0e2e" + THAI_LEADING + _THAI_FOLLOWING

WIDE = HAN + _BOPOMOFO + HIRAGANA + _THAI
KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_SMALL_KANA = "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ\u31f0-\u31ffｧ-ｯ"
_REPEATERS = "ー々〻ゝゞヽヾ\uff70\uff9e\uff9f"
NOT_FIRST = _SMALL_KANA + _REPEATERS + _THAI_FOLLOWING
# 第 belongs to the number behind it.
NOT_LAST = "第" + THAI_LEADING
# ๆ repeats the word before it and has a space behind it that ends nothing.
THAI_LAST = "\u0e01-\u0e45\u0e47-\u0e4e"
THAI_FIRST = "\u0e01-\u0e2e" + THAI_LEADING

# Emoji, and what follows one or a kana as a part of it: variation selectors, skin tones, joiners, voicing marks.
EMOJI = "\u2600-\u27bf\U0001f300-\U0001faff\ufe0f\u200d"
ATTACHED = "\ufe00-\ufe0f\u3099\u309a\U000e0100-\U000e01ef"

# Punctuation of the wide scripts.
OPENING = "（「『【《〈〔〖［｛｟｢"
CLOSING = "）」』】》〉〕〗］｝｠｣"
COMMAS = "，、：；､"
FULL_STOPS = "。！？｡．"

# Stops that end a sentence whatever is behind them, and all of them.
SURE_STOPS = "。！？；｡．।॥؟۔"
STOPS = SURE_STOPS + ".!?…‥"
# What stays with the sentence that it closes.
CLOSERS = CLOSING + r"”’»\"')\]>*_~" + EMOJI + ATTACHED

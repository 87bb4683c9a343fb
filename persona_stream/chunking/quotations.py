"""Quotations and brackets of Chinese and Japanese, in which no sentence ends.

A full stop at the end of a quotation ends the sentence (“好。”). ``！``, ``？`` and ``……`` do unless the sentence goes
on: a clause reports the speech (“真的吗？”她问。), or the quotation began within a clause (写着“禁止吸烟！”几个大字). A
particle behind any quotation continues the sentence (「本当？」と, “加油！”的). A bracket ends a sentence only if it
began as one, and a title (《》) ends none.

Sources: GB/T 15834 (a reporting clause with a colon introduces the next speech) and JIS X 4051.
"""

import re

from persona_stream.chunking.unicode import HIRAGANA, KATAKANA, MASK, STOP, STOPS, UNSPACED

MAX_QUOTATION_LENGTH = 1000
"""Characters; longer ones are the text between two stray marks, or too long for one chunk."""

_PAIRS = dict(zip("“‘「『（《〈【〔［(", "”’」』）》〉】〕］)", strict=True)) | {'"': '"'}
_TITLES = "《〈"
_BRACKETS = "（(【〔［"
_PARENTHESES = "（("
_FULL_STOPS = "。．"
_MARKS = r"“”‘’「」『』（）《》〈〉【】〔〕［］()\"\n"
# A pair that has no other marks in it is found at once, with its first stop.
_TOKEN = re.compile(
    rf"[{_MARKS}](?:(?<=[“‘「『（《〈【〔［(])[^{_MARKS}{STOPS}]*+(?:([{STOPS}])[^{_MARKS}]*+)?+[”’」』）》〉】〕］)])?"
)
_MAX_DEPTH = 4

_UNSPACED_LETTER = re.compile(f"[{UNSPACED}{KATAKANA}]")
_HIRAGANA = re.compile(f"[{HIRAGANA}]")
_FINAL_STOPS = re.compile(rf"([{STOPS}]+)[”’」』）》〉】〕］)\"]*\Z")
_MAX_FINAL_STOPS = 40

_SENTENCE_START = re.compile(rf"(?:\A|\n|[{STOPS}][”’」』）)\"*_]*)[\s*_]*\Z")
_MAX_CONTEXT = 12
_INTRODUCTION = re.compile(r"[说說道曰云问問答喊叫嚷吼骂罵叹嘆称稱][：:，,]?\Z")

# The clause behind a quotation, up to the next punctuation.
_CLAUSE = re.compile(r"[^，,。！？!?：:；;…—、“”「」『』\n]{1,24}")
_CONTINUATIONS = ("，“", ",“", "，「")  # “不行！”她摇头，“绝对不行！”
_JAPANESE_CLAUSE = re.compile(r"[^。！？!?「」『』\n]{1,60}")
_COLONS = "：:"
_TITLES_IN_A_ROW = re.compile(r"(?:『[^『』\n]{1,60}』){1,9}")
# Particles, and a word of a script with spaces that begins no sentence.
_PARTICLE = re.compile(
    r" ?[a-z]|的(?!确|確|士)|[之与與和及或、]|是(?![的吗嗎啊呀吧否，。！？]|不是|[时時]候)"
    r"|と(?!ころ|にかく|ても|りあえず|うとう|つぜん|もかく|きどき)|って|は(?!い|じめ)|が(?!、|んば)|[をにのへ]|も(?!う|し|ちろん|っと)"
    r"|で(?!も|は、|すから)|だ(?!から|が、|けど)|から|まで|など|なんて|や(?!が|っと|はり)|くらい|ぐらい"
)
# The first class lets the engine skip quickly to the candidates; the conditions follow it.
_SPEECH = re.compile(
    r"[说說问問道喊叫嚷吼答骂罵囔咕驳駁嘴呼语語慨怨释釋充醒想叹嘆歎听聽喝](?:"
    r"(?<=[说說])(?<![小传傳据據学學解演听聽].)(?![明法服来來起到]|不定|实话|實話)"
    r"|(?<=[问問])(?<![学學顾顧访訪].)(?![题題世卷候])"
    r"|(?<=道)(?<![知味难難街轨軌渠频頻通人霸].)(?=[谢謝歉]|\Z)"
    r"|(?<=[叹嘆歎])|(?<=打[听聽])|(?<=招呼)|(?<=喝)(?:(?<=大.)|(?=道|[问問]|斥))"
    r"|(?<=叫)(?:(?<=[大尖惊驚].)|(?=[道着起了嚷]|\Z))"
    r"|(?<=答)(?<![不没沒有]回.)(?:(?<=回.)|(?=道|[应應]|\Z))"
    r"|(?<=[喊嚷吼骂罵])|(?<=嘟囔)|(?<=嘀咕)|(?<=反[驳駁])|(?<=插嘴)|(?<=[惊驚]呼)|(?<=低[语語])|(?<=自[语語])|(?<=感慨)"
    r"|(?<=[抱埋]怨)|(?<=解[释釋])|(?<=[补補]充)|(?<=提醒)|(?<=[心暗]想)\Z)"
)
_JAPANESE_SPEECH = re.compile(
    r"(?:言(?!葉|わな)|云|叫|尋ね|訊|聞い|問[いうわ]|答え|つぶや|呟|怒鳴|返事|質問|ささや|囁|述べ|語[りっ]|話し)[^、]{0,8}\Z"
    r"|(?:言|叫|つぶや|呟|答え|尋ね)[^、]{0,4}、"
    r"|問いつめ|声[がはをで]"
)


def mask_quotations(text: str) -> str:
    """Return the text with the stops masked that end no sentence because of quotations and brackets."""
    parts = []
    at = 0
    for start, end in _outermost_pairs(text):
        kept = _final_stops(text, start, end)
        parts += [text[at:start], STOP.sub(MASK, text[start:kept])]
        at = kept
    return "".join([*parts, text[at:]]) if at else text


def _outermost_pairs(text: str) -> list[tuple[int, int]]:
    """Return the first and last index of the outermost pairs within a line that contain stops and unspaced letters."""
    pairs: list[tuple[int, int]] = []
    opened: list[tuple[str, int]] = []  # closing marks, and indexes of the opening ones
    for found in _TOKEN.finditer(text):
        start, end = found.span()
        has_stops = found[1] is not None
        if end - start == 1:
            mark = text[start]
            if mark == "\n":
                opened.clear()
                continue
            depth = next((depth for depth, (closing, _) in enumerate(reversed(opened), 1) if closing == mark), 0)
            if not depth:
                if mark in _PAIRS:
                    opened.append((_PAIRS[mark], start))
                    del opened[:-_MAX_DEPTH]
                continue
            start = opened[-depth][1]
            has_stops = STOP.search(text, start, end) is not None
            del opened[-depth:]
            while pairs and pairs[-1][0] > start:
                pairs.pop()
        if has_stops and end - start <= MAX_QUOTATION_LENGTH:
            pairs.append((start, end - 1))
    return [pair for pair in pairs if _UNSPACED_LETTER.search(text, max(0, pair[0] - 1), pair[1] + 2)]


def _final_stops(text: str, start: int, end: int) -> int:
    """Return where the stops begin that end a sentence together with the pair; ``end`` if there are none."""
    if text[start] in _TITLES:
        return end
    final = _FINAL_STOPS.search(text, max(start, end - _MAX_FINAL_STOPS), end)
    return final.start() if final and _ends_sentence(text, start, end + 1, final[1]) else end


def _ends_sentence(text: str, start: int, end: int, stops: str) -> bool:
    mark = text[start]
    if mark in _BRACKETS:
        is_sentence = _SENTENCE_START.search(text, max(0, start - _MAX_CONTEXT), start) is not None
        return is_sentence and (mark in _PARENTHESES or stops[-1] in _FULL_STOPS)
    if mark == "『" and (titles := _TITLES_IN_A_ROW.match(text, end)):
        end = titles.end()
    if _PARTICLE.match(text, end):
        return False
    # Speech that a clause has introduced is not reported again.
    if stops[-1] in _FULL_STOPS or _INTRODUCTION.search(text, max(0, start - 2), start):
        return True
    is_within_clause = text[start - 1 : start].isalnum()
    return not is_within_clause and not _reports_speech(text, end)


def _reports_speech(text: str, at: int) -> bool:
    """Return whether the clause at an index reports the speech before it; one with a colon introduces the next."""
    clause = _CLAUSE.match(text, at)
    if clause is None:
        return False
    if _HIRAGANA.search(clause[0]):
        sentence = _JAPANESE_CLAUSE.match(text, at)
        return sentence is not None and _JAPANESE_SPEECH.search(sentence[0]) is not None
    following = text[clause.end() : clause.end() + 2]
    if following in _CONTINUATIONS:
        return True
    return following[:1] not in _COLONS and _SPEECH.search(clause[0]) is not None

"""Quotations and brackets of Chinese and Japanese."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.chunking.chunkers import sentences
from persona_stream.chunking.quotations import MAX_QUOTATION_LENGTH, mask_quotations
from persona_stream.chunking.unicode import STOPS


@pytest.mark.parametrize(
    "chunks",
    [
        # Titles end no sentence.
        ["我们明天一起去看《摔跤吧！爸爸》好吗？", "好！"],
        ["昨日、映画『君の名は。』を見た。"],
        # A bracket ends one only if it began as one.
        ["这个方案（你还记得吗？）早就提出来了。", "（见下文。）", "好。"],
        ["【注意！】请备份数据。", "【完。】"],
        # A full stop at the end of a quotation does.
        ["他说：“可以。我们试试。”", "他走了。", "“好。”", "她点点头。"],
        # A question or an exclamation does unless a clause reports it.
        ["“真的吗？”她问。", "“真的吗？”", "天黑了。"],
        ["“真的吗？”", "她问：“你来吗？”", "“来！”"],
        ["有人问：“这算不算失败？”", "我说不算。"],
        ["“快跑！”他大喊一声，拉着我冲出了门。"],
        ['"真的吗？"她问。', '他说:"你好。"', "然后走了。"],
        ["「真的嗎？」她輕聲問道。", "「真的。」"],
        # 知道, 问题 and 回答 after a negation report nothing.
        ["“你去吗？”", "我不知道。", "“谁？”", "问题很难。", "“谁？”", "他没回答。"],
        # A quotation within a clause ends no sentence.
        ["墙上写着“禁止吸烟！”几个大字。", "“加油！”的口号很响。"],
        # Particles of Japanese.
        ["「早く逃げろ！」と叫んだ。", "「はい。」", "そう答えた。"],
        ["「えっ？」", "彼女は驚いた。", "「誰だ！」王は問いつめた。"],
        # Nested quotations.
        ["“他说‘走吧！’然后走了。”", "完。"],
        # Quotations of other languages are left alone.
        ["He said “Yes. ", "I know.” ", "Then he left."],
    ],
)
def test_no_sentence_ends_within_a_pair(chunks: list[str]) -> None:
    """The sentence ends behind the pair, or goes on."""
    assert sentences("".join(chunks)) == chunks


def test_a_stray_mark_hides_no_boundary() -> None:
    """A pair must close in its line, and may not be longer than a paragraph."""
    assert sentences("“你好。再见。\n第二行。”好。") == ["“你好。", "再见。\n", "第二行。”", "好。"]
    long = "“" + "好。" * MAX_QUOTATION_LENGTH + "”"
    assert sentences(long)[0] == "“好。"


@given(st.text(st.sampled_from('“”‘’「」『』（）《》【】()"好。！？…a.问说道と\n'), max_size=60))
def test_only_stops_are_masked(text: str) -> None:
    """All other characters stay in their places."""
    masked = mask_quotations(text)
    assert len(masked) == len(text)
    assert all(old == new or (old in STOPS and new == "X") for old, new in zip(text, masked, strict=True))

"""Backend of these tests: words in the message select its behaviour."""

from __future__ import annotations

import re
import time

from persona_stream import Answer, BackendError, Query

PARAGRAPH = "Paragraph {} is about 3.14 of something; 第{}段说的是另一件事。A family 👨‍👩‍👧, a flag 🇨🇭.\n\n"
STORY = "".join(PARAGRAPH.format(n, n) for n in range(1, 9))
SHORT = "The answer is 42."
HOSTILE = (
    """<img src=x onerror="document.title='taken'"></script><script>alert(1)</script><b>&amp; \u2028"""
    "\u202e\x1b[2J\x85`${1}`"
)
MARKDOWN = """# Sorting

**Quicksort** and *merge sort* are `O(n log n)`; see [Wikipedia](https://en.wikipedia.org/wiki/Sorting).

1. Choose a pivot
2. Partition
   - smaller
   - larger

   with a second paragraph
3. Recurse

```python
def quicksort(items: list[int]) -> list[int]:
    if len(items) < 2: return items  # a long comment that goes on and on until it is wider than the box of the code
    pivot, *rest = items
    return quicksort([x for x in rest if x < pivot]) + [pivot] + quicksort([x for x in rest if x >= pivot])
```

| Algorithm | Average | Worst | Stable |
|---|---:|---:|:---:|
| Quicksort | n log n | n² | no |
| merge sort | n log n | n log n | yes |

> A quote, with **bold**.

- [x] done
- [ ] open

<script>alert(1)</script> ![beacon](https://evil.example/x.png) [bad](javascript:alert(1))

中文段落：**加粗** 和 `代码`。
"""
REASONING = "First I considered the question."
THOUGHTS = "".join(f"Step {n}: <b>3.14</b> is not 3. 第{n}步再想一想。👨‍👩‍👧 " for n in range(1, 41))
FAILURE = "The model is under maintenance: ask again after 9 o'clock."


def answer(query: Query) -> str | Answer:
    """Wait for the seconds named in the message, then answer or fail as its words select."""
    wait = float(found[1]) if (found := re.search(r"wait=([\d.]+)", query.message)) else 0.2
    until = time.monotonic() + wait
    if "report" in query.message:
        query.report("Reading page 2 of 8", 0.25)
        time.sleep(0.5)  # so that the page shows this status
    while (left := until - time.monotonic()) > 0:
        if "report" in query.message:
            query.report("Reading page 3 of 8", 0.37)
        time.sleep(min(0.2, left))
    if "choose" in query.message:
        return f"You chose {query.ask('Which file?', choices=['minutes.txt', 'budget.txt'])}."
    if "name" in query.message:
        return f"Hello, {query.ask('What is your name?')}!"
    if "fail" in query.message:
        raise BackendError(FAILURE)
    if "crash" in query.message:
        raise RuntimeError("a secret of the backend")
    if "markdown" in query.message:
        return MARKDOWN
    if "hostile" in query.message:
        return HOSTILE
    if "ponder" in query.message:
        return Answer(STORY, reasoning=THOUGHTS)
    if "think" in query.message:
        return Answer(SHORT, reasoning=REASONING)
    return STORY if "story" in query.message else SHORT


answer.title = "Sums"
answer.ideas = ["What is six times seven?", "Tell me a story wait=1"]

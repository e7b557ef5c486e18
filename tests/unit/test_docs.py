"""Every command in README and docs says whether a test runs it."""

from __future__ import annotations

from pathlib import Path

from tests.support.docs import blocks, pages

PAGE = """Words.

<!-- run: done -->
```bash
echo done
```

```yaml
a: 1
```

<!-- not run: needs a GPU -->
```python
print(1)
```

```bash
echo nobody knows
```
"""


def test_each_block_says_what_becomes_of_it() -> None:
    silent = [str(block) for page in pages() for block in blocks(page) if block.runs is None]
    assert silent == [], "put <!-- run -->, <!-- run: WORDS of its output --> or <!-- not run: WHY --> in front of each"


def test_a_block_that_is_not_run_says_why() -> None:
    assert [str(block) for page in pages() for block in blocks(page) if block.runs is False and not block.words] == []


def test_blocks_are_read_as_they_stand() -> None:
    found = [(block.line, block.language, block.runs, block.words) for block in blocks(Path("x.md"), PAGE)]
    assert found == [(4, "bash", True, "done"), (13, "python", False, "needs a GPU"), (17, "bash", None, "")]
    assert next(blocks(Path("x.md"), PAGE)).text == "echo done\n"

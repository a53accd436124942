"""What can be said about a script without running it.

Knows: where JavaScript's strings, comments and brackets are.  Does not know: its grammar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<word>[A-Za-z_$][\w$]*)
    |(?P<number>[0-9][\w.]*)
    |(?P<arrow>=>)
    |(?P<blank>\s+)
    |(?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_NOT_A_BODY = frozenset(
    (
        *("var", "let", "const", "class", "function", "return", "arguments", "new"),
        *("eval", "Function", "yield", "await", "async", "import", "export", "this", "use"),
    )
)
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_STRING = re.compile(r"""\s*(?:"([^"\\\n]*)"|'([^'\\\n]*)')\s*""")
_NUMBER = re.compile(r"\s*(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,10})?\s*")


def _words(script: str) -> list[str]:
    return [found.group() for found in _TOKEN.finditer(script) if found.lastgroup == "word"]


def declares_nothing(script: str) -> bool:
    """Whether a script does the same as a function's body."""
    return "`" not in script and "<!--" not in script and _NOT_A_BODY.isdisjoint(_words(script))


def asks_states(scripts: Iterable[str]) -> bool:
    """Whether any of them may call ``In()``."""
    return any(
        re.search(r"\b(In|eval|Function|constructor|globalThis)\b|`", script) for script in scripts
    )


def mentioned(scripts: Iterable[str], names: frozenset[str]) -> tuple[str, ...]:
    """Which of some names occur in them, in strings and comments too."""
    found: set[str] = set()
    for script in scripts:
        found |= names.intersection(_NAME.findall(script))
    return tuple(sorted(found))


def literal(expression: str) -> str | None:
    """JSON text of an expression that is a plain literal, else ``None``."""
    found = _STRING.fullmatch(expression)
    if found is not None:
        return json.dumps(found.group(1) if found.group(1) is not None else found.group(2))
    stripped = expression.strip()
    if stripped in ("true", "false", "null"):
        return stripped
    return stripped if _NUMBER.fullmatch(expression) else None


def remakes(scripts: Iterable[str]) -> bool:
    """Whether running the scripts again gives functions that do what the first ones did.

    They do unless one remembers something of the run that made it: a function inside a
    function may.  What changes the engine's own objects cannot be told apart either way.
    """
    texts = list(scripts)
    return any("function" in text for text in texts) and all(_remakes(text) for text in texts)


def _remakes(script: str) -> bool:
    stack: list[bool] = []
    # A function's head has been read, its body not yet.
    head = False
    for found in _TOKEN.finditer(script):
        kind, text = found.lastgroup, found.group()
        if kind == "arrow" or text in ("`", "class", "get", "set", "eval", "Function", "bind"):
            return False
        if kind == "word" and text == "function":
            if head or any(stack):
                return False
            head = True
        elif kind == "mark" and text == "{":
            stack.append(head)
            head = False
        elif kind == "mark" and text == "}":
            if not stack:
                return False
            stack.pop()
        elif kind == "mark" and text in "\"'":
            # A string that does not end, or a regular expression with a quote in it.
            return False
    return not stack and not head

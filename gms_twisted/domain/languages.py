"""Names of languages: ``en_US``, ``de``, ``zh-Hant-TW``.

``_`` and ``-`` are the same in them, and case does not count.

Spec: Push Notification Service, "Localization of push messages".

PURE.  Knows: how such names are compared.  Does not know: texts, and who speaks what.
"""

from __future__ import annotations

import re

from gms_twisted.domain.errors import InvalidRequest, shown

_NAME = re.compile(r"[A-Za-z]{1,8}([_-][A-Za-z0-9]{1,8}){0,4}")

_TWO_LETTERS = (
    " aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy"
    " da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu"
    " hy hz ia id ie ig ii ik in io is it iu iw ja ji jv ka kg ki kj kk kl km kn ko kr ks ku kv kw"
    " ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my na nb nd ne ng nl nn no nr nv"
    " ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr"
    " ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo"
    " za zh zu "
)
"""ISO 639-1, and names it has given up (``iw``, ``in``, ``ji``, ``mo``, ``sh``)."""


def is_language(text: str) -> bool:
    """Tell whether a text looks like the name of a language."""
    return _NAME.fullmatch(text) is not None


def check_language(value: object, parameter: str = "language") -> str:
    """Take the name of a language as a client sent it.

    :raises InvalidRequest: it is none; ``parameter`` is named.
    """
    if not isinstance(value, str) or not is_language(value):
        what = f": {shown(value)!r}" if isinstance(value, str) else ""
        raise InvalidRequest(f"{parameter} must name a language, like en_US{what}.", parameter)
    return value


def compared(language: str) -> str:
    """The form in which names of languages are compared."""
    return language.replace("_", "-").lower()


def language_part(language: str) -> str:
    """``en`` of ``en_US``; compared names only."""
    return compared(language).partition("-")[0]


def is_known(language: str) -> bool:
    """Tell whether the language part is one that there is; three letters are believed."""
    part = language_part(language)
    return len(part) == 3 or f" {part} " in _TWO_LETTERS

"""The order in which OrientDB sorts texts: that of java.text.Collator for English, three levels deep.

Letters first, then accents, then case; a blank or a hyphen counts no more than an accent. Measured with the JDK's
collator, character by character; what it does with scripts other than Latin is their order in Unicode, as here.
"""

from __future__ import annotations

import unicodedata
from typing import TypeAlias

# Letters, digits and signs that differ in the first level, in order.
_PRIMARY = "_¯,;:!¡?¿/.´`^¨~·¸'\"«»()[]{}§¶©®@¤¢$€£¥*\\&#%+±÷×<=>¬|¦°µ0123456789¼½¾abcdðefghijklmnopqrstuvwxyz"
# Those that differ in the second only.
_SECONDARY = (
    " \u00a0\r\t\n\f\v\u0301\u0300\u0306\u0302\u030c\u030a\u0308\u030b\u0303\u0307\u0304\u0327\u0328\u030f\u0311\u031b"
    "-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015"
)
_EXPANSIONS = {"æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "TH", "ß": "ss"}
_FIRST = {character: place for place, character in enumerate(_PRIMARY)}
_SECOND = {character: place + 1 for place, character in enumerate(_SECONDARY)}
_OTHERS = 1 << 10
_ENTITY = str.maketrans(_EXPANSIONS)

CollationKey: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def collation_key(text: str) -> CollationKey:
    """Return what compares as the collator would: equal for texts that it takes for equal."""
    first: list[int] = []
    second: list[int] = []
    third: list[int] = []
    for character in unicodedata.normalize("NFD", text).translate(_ENTITY):
        accent = _SECOND.get(character)
        if accent is not None:
            second.append(accent)
            continue
        category = unicodedata.category(character)
        if category == "Cc":
            continue
        if category == "Mn":
            second.append(_OTHERS + ord(character))
            continue
        lower = character.lower()
        known = _FIRST.get(lower)
        first.append(_OTHERS + ord(character) if known is None else known)
        second.append(0)
        third.append(int(known is not None and lower != character))
    return tuple(first), tuple(second), tuple(third)

"""Reads an export the slow, obvious way: one character after the other, everything in memory.

It knows nothing of the product's reader; what the two make of a file must be the same.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from decimal import Decimal


class BadExport(ValueError):
    pass


@dataclass
class Number:
    text: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


class Reader:
    def __init__(self, text: str) -> None:
        self.text = text.removeprefix("\ufeff")
        self.at = 0

    def look(self) -> str:
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1
        return self.text[self.at] if self.at < len(self.text) else ""

    def take(self, expected: str) -> None:
        if self.look() != expected:
            raise BadExport(f"{expected} expected at {self.at}")
        self.at += 1

    def string(self) -> str:
        self.take('"')
        out = ""
        while True:
            if self.at >= len(self.text):
                raise BadExport("string without end")
            character = self.text[self.at]
            self.at += 1
            if character == '"':
                # Halves of a pair may stand in two escapes.
                return out.encode("utf-16", "surrogatepass").decode("utf-16")
            if ord(character) < 0x20:
                raise BadExport("control character")
            if character == "\\":
                kind = self.text[self.at : self.at + 1]
                self.at += 1
                if kind == "u":
                    digits = self.text[self.at : self.at + 4]
                    if len(digits) < 4 or any(one not in "0123456789abcdefABCDEF" for one in digits):
                        raise BadExport("escape")
                    self.at += 4
                    out += chr(int(digits, 16))
                elif kind and kind in '"\\/bfnrt':
                    out += {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(kind, kind)
                else:
                    raise BadExport("escape")
            else:
                out += character

    def value(self) -> object:
        start = self.look()
        if start == '"':
            return self.string()
        if start == "{":
            return self.object()
        return self.array() if start == "[" else self.word()

    def array(self) -> list[object]:
        self.take("[")
        items: list[object] = []
        if self.look() == "]":
            self.at += 1
            return items
        while True:
            items.append(self.value())
            if self.look() == "]":
                self.at += 1
                return items
            self.take(",")

    def word(self) -> object:
        word = ""
        while self.at < len(self.text) and self.text[self.at] not in " \t\r\n,]}":
            word += self.text[self.at]
            self.at += 1
        if word in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[word]
        if word in ("NaN", "Infinity", "-Infinity"):
            return word
        digits = word.removeprefix("-")
        if not digits[:1].isdigit() or (digits[0] == "0" and digits[1:2].isdigit()):
            raise BadExport(f"{word!r} is no value")
        try:
            Decimal(word)
        except ArithmeticError as error:
            raise BadExport(word) from error
        if word[-1] not in "0123456789" or ("." in word and not word.split(".")[1][:1].isdigit()):
            raise BadExport(word)
        return Number(word)

    def object(self) -> dict[str, object]:
        self.take("{")
        fields: dict[str, object] = {}
        types: dict[str, str] = {}
        if self.look() == "}":
            self.at += 1
            return fields
        while True:
            key = self.string()
            self.take(":")
            value = self.value()
            if key == "@fieldTypes":
                assert isinstance(value, str)
                types |= dict(entry.rsplit("=", 1) for entry in value.split(",") if "=" in entry)
                value = types
            fields[key] = value
            if self.look() == "}":
                self.at += 1
                return fields
            self.take(",")


def read(text: str) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Return the sections but `records`, and the records."""
    reader = Reader(text)
    sections: dict[str, object] = {}
    records: list[dict[str, object]] = []
    reader.take("{")
    while reader.look() != "}":
        name = reader.string()
        reader.take(":")
        if name == "records":
            reader.take("[")
            while reader.look() != "]":
                if reader.look() == ",":
                    reader.at += 1
                else:
                    records.append(reader.object())
            reader.at += 1
        elif name == "brokenRids":
            end = reader.text.index("]", reader.at)
            inside = reader.text[reader.at : end].strip().removeprefix("[")
            sections[name] = [one.strip().strip('"') for one in inside.split(",") if one.strip()]
            reader.at = end + 1
        else:
            sections[name] = reader.value()
        while reader.look() == ",":
            reader.at += 1
    return sections, records


def body_of(record: dict[str, object]) -> dict[str, object] | bytes:
    """What the body of a record must hold."""
    if record.get("@type") == "b":
        return base64.b64decode(str(record["value"]))
    if record.get("@type") == "f":
        return str(record["value"]).encode()
    return {key: value for key, value in record.items() if key not in ("@type", "@rid", "@version")}

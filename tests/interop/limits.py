"""What OrientDB changes in an export that it takes in: each as a rule with a name, and what is documented of it.

A difference that no rule explains is a fault. Left is what Quiesce wrote, right what OrientDB exported of it.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from quiesce.orientdb import Difference, Survey
from quiesce.orientdb.engine_versions import DEFAULT_ENGINE
from quiesce.orientdb.links import FIRST_TYPED

_LINK = r'"#-?\d+:-?\d+"'
_LINKS = re.compile(rf"({_LINK})|\[({_LINK}(,{_LINK})*)?\]")
_LINK_LIST = re.compile(rf"\[(?:(?:{_LINK}|null)(?:,(?:{_LINK}|null))*)?\]")


@dataclass(frozen=True, slots=True)
class Side:
    """What a rule may know of the export that Quiesce wrote."""

    survey: Survey
    # Of the file in which the database came to Quiesce.
    exporter: int = DEFAULT_ENGINE.exporter_version

    @property
    def links_without_type(self) -> bool:
        """Whether it came from an engine that wrote links without a type."""
        return self.exporter < FIRST_TYPED

    def cluster(self, difference: Difference) -> str:
        """Return the name of the cluster of a record; "" of one that only OrientDB has."""
        number = int(difference.name[1:].partition(":")[0])
        return next((one.name for one in self.survey.clusters if one.id == number), "")

    def holds(self, link: str) -> bool:
        """Whether the file has the record that a link leads to."""
        cluster, _, position = link.strip('"#').partition(":")
        return self.survey.resolves((int(cluster), int(position)))

    @property
    def flat(self) -> set[str]:
        """Return the ids of flat records."""
        return set(json.loads(self.survey.preserved.get("flatRecords", b"[]")))

    @property
    def has_policies(self) -> bool:
        """Whether the file is of an engine with security policies, 3.1 or later."""
        return any(one.name == "OSecurityPolicy" for one in self.survey.schema.classes)


@dataclass(frozen=True, slots=True)
class Limit:
    """A named limit of OrientDB."""

    name: str
    # For the table: what OrientDB does.
    says: str
    explains: Callable[[Difference, Side], bool]


def _split(text: str | None) -> tuple[str, str]:
    """Return a value's text and its type code."""
    found = re.fullmatch(r"(.*?)(?: \(([a-z])\))?", text or "", re.DOTALL)
    assert found
    return found[1], found[2] or ""


def _record(difference: Difference, left: str | None = None, right: str | None = None) -> bool:
    """Whether it is a field's value, and both sides look so."""
    return (
        difference.what == "record"
        and bool(difference.path)
        and (left is None or re.fullmatch(left, difference.left or "", re.DOTALL) is not None)
        and (right is None or re.fullmatch(right, difference.right or "", re.DOTALL) is not None)
    )


def _version(one: Difference, side: Side) -> bool:
    return one.what == "record" and one.path == "@version"


def _rid_text(one: Difference, side: Side) -> bool:
    (left, was), (right, code) = _split(one.left), _split(one.right)
    if not _record(one) or was:
        return False
    if code == "z":
        # A list of nothing but such texts.
        return _LINK_LIST.fullmatch(left) is not None and re.findall(_LINK, left) == re.findall(_LINK, right)
    return left == right and code == "x" and re.fullmatch(_LINK, left) is not None


def _links_without_type(one: Difference, side: Side) -> bool:
    (left, was), (right, code) = _split(one.left), _split(one.right)
    if not side.links_without_type or not _record(one) or was not in ("", "e") or code not in set("xnzg"):
        return False
    alike = sorted(re.findall(_LINK, left)) == sorted(re.findall(_LINK, right))
    return alike and _LINKS.fullmatch(left) is not None


def _set_by_schema(one: Difference, side: Side) -> bool:
    (left, was), (right, code) = _split(one.left), _split(one.right)
    return _record(one) and not was and code == "e" and sorted(left[1:-1].split(",")) == sorted(right[1:-1].split(","))


def _lost_links(one: Difference, side: Side) -> bool:
    (left, was), (right, code) = _split(one.left), _split(one.right)
    if not _record(one) or one.left is None or one.right is None or was not in ("", code, "m"):
        return False
    if re.fullmatch(_LINK, left):
        return right == "null" and not side.holds(left)
    if _LINK_LIST.fullmatch(left) and _LINK_LIST.fullmatch(right):
        stayed = re.findall(_LINK, right)
        return [link for link in re.findall(_LINK, left) if side.holds(link) or link in stayed] == stayed
    if was != "m":
        return False
    links: dict[str, str | None] = json.loads(left)
    stayed_links: dict[str, str | None] = json.loads(right)
    gone = {name for name, link in links.items() if stayed_links.get(name) != link}
    return links.keys() == stayed_links.keys() and all(
        links[name] and not side.holds(str(links[name])) and stayed_links[name] is None for name in gone
    )


def _empty_binary(one: Difference, side: Side) -> bool:
    return _record(one, r'"" \(b\)', r"null( \(b\))?")


def _low_byte(one: Difference, side: Side) -> bool:
    return _record(one, r"-1\d\d \(b\)", r"-1\d\d") and _split(one.left)[0] == one.right


def _no_number(one: Difference, side: Side) -> bool:
    return _record(one, r'"(NaN|-?Infinity)[df]?" \([df]\)', r"null( \([df]\))?")


def _null_without_type(one: Difference, side: Side) -> bool:
    return _record(one, r"null \([a-z]\)", "null")


def _embedded_date(one: Difference, side: Side) -> bool:
    deep = "." in one.path or "[" in one.path
    if not deep or not _record(one, r"-?\d+ \(t\)", r"-?\d+ \(t\)"):
        return False
    # A comparison makes milliseconds of the text.
    left, right = (int(_split(text)[0]) for text in (one.left, one.right))
    return right == left // 1000 * 1000


def _date_code(one: Difference, side: Side) -> bool:
    return _record(one, r"-?\d+ \(a\)", r"-?\d+ \(t\)") and _split(one.left)[0] == _split(one.right)[0]


def _number_text(one: Difference, side: Side) -> bool:
    (left, was), (right, code) = _split(one.left), _split(one.right)
    if not _record(one) or was != code or code not in ("f", "d") or "null" in (left, right):
        return False
    pack = struct.Struct("<" + code).pack
    return pack(float(left.strip('"'))) == pack(float(right.strip('"')))


def _link_map(one: Difference, side: Side) -> bool:
    return _record(one, r"\{.*\} \(m\)") and (one.left or "") == f"{one.right} (m)"


def _shapes(one: Difference, side: Side) -> bool:
    return "@shapes." in one.path and one.what == "record" and one.right is None


def _equals_in_name(one: Difference, side: Side) -> bool:
    return "=" in one.path and _record(one) and _split(one.left)[0] == _split(one.right)[0]


def _flat(one: Difference, side: Side) -> bool:
    in_flat = one.what == "record" and one.path == "value" and one.name in side.flat
    return in_flat and json.loads(one.right or "0") == json.loads(one.left or "0").replace('"', '\\"')


def _quotes_in_schema(one: Difference, side: Side) -> bool:
    left, right = one.left or "", one.right or ""
    return one.what == "class" and "custom_fields" in one.path and right == left.replace('\\"', '\\\\\\"')


def _policies(one: Difference, side: Side) -> bool:
    if side.has_policies or one.left is not None:
        return False
    if one.what in ("class", "cluster", "index"):
        return one.name.lower().startswith("osecuritypolicy")
    return one.what == "record" and (
        (not one.path and not side.cluster(one)) or (one.path == "policies" and side.cluster(one) == "orole")
    )


def _rules(one: Difference, side: Side) -> bool:
    return one.what == "record" and one.path.startswith("rules.") and side.cluster(one) == "orole"


def _old_index(one: Difference, side: Side) -> bool:
    added = one.what == "index" and one.left is None
    return added and (one.path in ("algorithm", "metadata") or one.path.endswith("nulls_ignored"))


def _hash(one: Difference, side: Side) -> bool:
    return one.what == "index" and (one.path, one.left, one.right) == ("algorithm", '"SBTREE"', '"HASH_INDEX"')


def _manual_types(one: Difference, side: Side) -> bool:
    return one.what == "manual index" and one.path.endswith("@fieldTypes") and one.left is None


def _dictionary(one: Difference, side: Side) -> bool:
    return one.what == "manual index" and one.name == "dictionary" and not one.path and one.left is None


LIMITS = [
    Limit("versions", "Versions of records start again, and grow with each change that the import makes.", _version),
    Limit("empty-binary", "An empty `BINARY` becomes null.", _empty_binary),
    Limit("low-byte", "A `BYTE` below -99 becomes an integer.", _low_byte),
    Limit("no-number", "`NaN` and the infinities become null.", _no_number),
    Limit("type-of-null", "A field that is null loses its type.", _null_without_type),
    Limit("embedded-date", "A date in an embedded document is written as text, without milliseconds.", _embedded_date),
    Limit("date-code", "A `DATE` is written with the type code of `DATETIME`.", _date_code),
    Limit("number-text", "A `FLOAT` or `DOUBLE` is written in Java's own digits; it is the same number.", _number_text),
    Limit("link-map", "The type of a link map is not written.", _link_map),
    Limit("link-type", "A link that an old engine wrote without type gets one.", _links_without_type),
    Limit("item-types", "Types inside lists and maps, which Quiesce writes beside OrientDB's own, are lost.", _shapes),
    Limit("rid-text", "Text that looks like a record id, in a field without type, becomes a link.", _rid_text),
    Limit("set-type", "A set that an old engine wrote without type gets the type of its schema.", _set_by_schema),
    Limit("lost-links", "Links in lists and maps that lead to no record become null or are removed.", _lost_links),
    Limit("equals-in-name", "A field with `=` in its name loses its type.", _equals_in_name),
    Limit("flat-record", "Quotes in flat records, and those alone, keep a backslash.", _flat),
    Limit("custom-attributes", "Quotes in custom attributes of classes get a backslash.", _quotes_in_schema),
    Limit("policies", "Security policies are added to databases of engines before 3.1.", _policies),
    Limit("role-rules", "The rules of roles are rewritten for the new engine.", _rules),
    Limit("old-index", "What old definitions of indexes left open is filled in.", _old_index),
    Limit("hash-index", "A hash index that says `SBTREE` becomes `HASH_INDEX`.", _hash),
    Limit("manual-index-types", "Entries of manual indexes get types.", _manual_types),
    Limit("dictionary", "The index `dictionary` is there always with manual indexes.", _dictionary),
]


def explanation(difference: Difference, side: Side) -> str | None:
    """Return the name of the limit that explains a difference, or None."""
    return next((limit.name for limit in LIMITS if limit.explains(difference, side)), None)

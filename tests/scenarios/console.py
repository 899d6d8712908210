"""Reads the commands of a guide, with what they are said to print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(
    r"^```(?P<language>console|python)\n(?P<content>.*?)^```$|^<!-- (?P<happening>(?:lost|killed|stopped): .*?) -->$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One command line, or one Python program, and the lines that its output must hold; `…` stands for anything.

    Or what happens to the reader, whom the guide tells what to do then: `lost: node-3`, a comment that nobody sees.
    """

    language: str
    text: str
    expected: tuple[str, ...] = ()

    def missing(self, output: str) -> list[str]:
        """Return the expected lines that `output` does not have, whatever its spacing."""
        squeezed = " ".join(output.split())
        return [line for line in self.expected if not re.search(_pattern(line), squeezed)]


def _pattern(line: str) -> str:
    words = (re.escape(part.strip()).replace(r"\ ", " ") for part in re.sub(r"\s+", " ", line).split("…"))
    return ".*?".join(words)


def steps(guide: str) -> Iterator[Step]:
    """Yield what a reader of a guide would type, in order."""
    for block in _BLOCK.finditer(guide):
        language, content = block["language"], block["content"]
        if block["happening"]:
            yield Step("happening", block["happening"])
            continue
        if language == "python":
            yield Step("python", content)
            continue
        command, expected = "", list[str]()
        for line in content.splitlines():
            if line.startswith("$ "):
                if command:
                    yield Step("console", command, tuple(expected))
                command, expected = line[2:], []
            elif line.strip():
                expected.append(line)
        yield Step("console", command, tuple(expected))


def with_ports(text: str, first_ports: dict[str, int]) -> str:
    """Replace the ports of a guide: `{"71": 25100}` makes 7101 to 25101. `quiesce up` alone means 7100."""
    if re.match(r"quiesce up(?!.*--(first-port|data))", text):
        text += " --first-port 7100"
    either = "|".join(first_ports)
    return re.sub(rf"\b({either})(\d\d)\b", lambda found: str(first_ports[found[1]] + int(found[2])), text)

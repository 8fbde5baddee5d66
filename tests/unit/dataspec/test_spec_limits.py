"""What a spec's words may be: short enough for every table and page, and without control characters."""

from __future__ import annotations

import json

import pytest

from dataspec.errors import InvalidSpec
from dataspec.spec.parse import parse_spec
from unit.dataspec.specs import spec_text


def problem(**keys: object) -> str:
    # JSON is YAML, and writes control characters as escapes.
    lines = [f"{key}: {json.dumps(value)}" for key, value in keys.items()]
    text = "\n".join(line for line in spec_text("a").splitlines() if line.split(":")[0] not in keys)
    with pytest.raises(InvalidSpec) as caught:
        parse_spec("\n".join([text, *lines]).encode(), file="a.yaml")
    return str(caught.value.detail)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("owner", f"{'x' * 89}@example.com", "'owner': it has 101 letters; 100 at most."),
        ("description", "x" * 5_001, "'description': it has 5,001 letters; 5,000 at most."),
        ("tags", ["fine", "x" * 101], "'tags[1]': it has 101 letters; 100 at most."),
        ("tags", [f"tag {number}" for number in range(101)], "'tags': it has 101 entries; 100 at most."),
        ("domains", ["x" * 101], "'domains[0]': it has 101 letters; 100 at most."),
        ("tags", ["two\nlines"], "'tags[0]': it must be one line without tabs."),
    ],
)
def test_words_that_are_too_long_are_refused_without_repeating_them(
    key: str, value: object, told: str
) -> None:
    found = problem(**{key: value})
    assert told in found
    assert len(found) < 200


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\x7f"])
@pytest.mark.parametrize("key", ["owner", "description", "tags"])
def test_control_characters_are_refused_and_named(key: str, letter: str) -> None:
    text = f"a{letter}b@example.com"
    assert f"the control character U+{ord(letter):04X} (letter 2)" in problem(
        **{key: [text] if key == "tags" else text}
    )


def test_words_of_the_greatest_length_and_text_of_several_lines_are_accepted() -> None:
    keys = {
        "owner": f"{'x' * 88}@example.com",
        "description": "한글 🎉\tone\n" + "x" * 4_990,
        "tags": [f"{number:0100d}" for number in range(100)],
    }
    text = "\n".join(line for line in spec_text("a").splitlines() if line.split(":")[0] not in keys)
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
    spec = parse_spec("\n".join([text, *lines]).encode(), file="a.yaml")
    assert (spec.owner, spec.description, spec.tags) == tuple(keys.values())

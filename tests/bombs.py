"""Inputs that are small to write and would be endless to take in: each ends within seconds, refused or done.

``TEMPLATES``, ``SQL`` and ``YAML`` map a name to the text; :func:`spec_of` puts SQL into a Dataset Spec, so that
each can go through the command line, a store and a server as well.
"""

from __future__ import annotations

MIB = 1024 * 1024

TEMPLATES: dict[str, str] = {
    # Computed when compiled, where constants are folded
    "folded format": "{{ '%1000000000d' % 1 }}",
    "folded format with dot": "{{ '%.999999999f' % 1 }}",
    "folded format filter": "{{ '%1000000000s' | format('') }}",
    "folded center": "{{ 'a' | center(900000000) }}",
    "folded method": "{{ 'a'.ljust(900000000) }}",
    "folded zfill": "{{ 'a'.zfill(900000000) }}",
    "folded power": "{{ 9 ** 9 ** 9 }}",
    "folded powers": "{{ 2 ** 64 ** 4 ** 4 ** 4 }}",
    "folded repetition": "{{ 'a' * 900000000 }}",
    "folded list": "{{ [1] * 900000000 }}",
    "folded in a condition": "{% if 'a' * 900000000 == 'b' %}x{% endif %}",
    "folded in autoescape": "{% autoescape 'a' | center(900000000) %}x{% endautoescape %}",
    "folded even": "{{ '%1000000000d' is even }}",
    "folded divisibleby": "{{ '%1000000000d' is divisibleby 3 }}",
    "folded wordwrap": "{{ ('a ' * 1000) | wordwrap(1, wrapstring='b' * 100000) }}",
    "folded indent": "{{ ('\n' * 100000) | indent(100000) }}",
    "folded batch": "{{ [1] | batch(900000000, 0) | list }}",
    "folded slice": "{{ [1] | slice(900000000) | list }}",
    "folded round": "{{ 1 | round(900000000) }}",
    "folded round down": "{{ 1 | round(-900000000, 'floor') }}",
    "folded bytes": "{{ (1).to_bytes(900000000, 'big') }}",
    "folded truncate": "{{ 'a' | truncate(9, end='b' * 900000000) }}",
    "folded expandtabs": "{{ '\t'.expandtabs(900000000) }}",
    "folded format method": "{{ '{:900000000}'.format(1) }}",
    "folded translate": "{{ 'aaaa'.translate({97: 'b' * 900000}) }}",
    "folded range": "{{ range(99999) | list + range(99999) | list }}",
    "folded sum": "{{ range(99999) | map('string') | sum(start='') }}",
    "folded string of a number": "{{ 10 ** 60 * 10 ** 60 * 10 ** 60 }}",
    "long number": "{{ " + "9" * 5000 + " }}",
    "long hexadecimal": "{{ 0x" + "f" * 500_000 + " }}",
    "number of a long text": "{{ ('f' * 500000) | int(base=16) }}",
    # Loops
    "nested ranges": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "nested ranges that print": "{% for a in range(9999) %}{% for b in range(9999) %}a{% endfor %}{% endfor %}",
    "nested ranges left out": "{% for a in range(9999) %}{% for b in range(9999) if false %}{% endfor %}{% endfor %}",
    "many ranges": "".join(f"{{% for a{i} in range(999) %}}" for i in range(10)) + "{% endfor %}" * 10,
    "values in loops": "{% for a in range(99999) %}{{ a }},{% endfor %}",
    "long values in a loop": "{% set s = 'a' * 100000 %}{% for a in range(99999) %}'{{ s }}',{% endfor %}",
    "compared in a loop": "{% set s = 'a' * 900000 %}{% set t = s ~ '' %}"
    "{% for a in range(99999) %}{% if s == t %}{% endif %}{% endfor %}",
    "searched in a loop": "{% set s = 'a' * 900000 %}{% for a in range(99999) %}{% if 'b' in s %}{% endif %}{% endfor %}",
    "counted in a loop": "{% set s = 'a' * 900000 %}{% for a in range(99999) %}{% if s.count('b') %}{% endif %}{% endfor %}",
    "cut in a loop": "{% set s = 'a' * 900000 %}{% for a in range(99999) %}{% set t = s[1:] %}{% endfor %}",
    "range searched in a loop": "{% for a in range(99999) %}{% if 'a' in range(99999) %}{% endif %}{% endfor %}",
    "lists in a loop": "{% for a in range(99999) %}{% set b = [" + "1," * 5000 + "] %}{% endfor %}",
    "filters in a loop": "{% for a in range(9999) %}{% set b = range(9999) | map('string') | sort | list %}{% endfor %}",
    "joins in a loop": "{% set s = 'a' * 900000 %}{% for a in range(999) %}{% set b = [s, s, s] | join(s) %}{% endfor %}",
    "range made in a loop": "{% for a in range(99999) %}{% set b = range(99999) %}{% endfor %}",
    "sums in a loop": "{% for a in range(99999) %}{% set b = " + "+".join(["a"] * 100) + " %}{% endfor %}",
    "macros in a loop": "{% macro m(x) %}{{ x }}{% endmacro %}{% for a in range(99999) %}{{ m(a) }},{% endfor %}",
    "methods in a loop": "{% for a in range(99999) %}{% set b = 'a'.upper().lower().strip() %}{% endfor %}",
    "attributes in a loop": "{% set n = namespace(a=1) %}{% for a in range(99999) %}"
    "{% if n.a == n.a %}{% set n.a = n.a %}{% endif %}{% endfor %}",
    "recursive loop": "{% for a in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "cycle in a loop": "{% for a in range(99999) %}{{ loop.cycle(*range(99999)) }}{% endfor %}",
    # Doubling
    "doubling text": "{% set n = namespace(a='a') %}{% for i in range(99) %}{% set n.a = n.a ~ n.a %}{% endfor %}{{ n.a }}",
    "doubling list": "{% set n = namespace(a=[1]) %}{% for i in range(99) %}{% set n.a = n.a + n.a %}{% endfor %}",
    "doubling tree": "{% set n = namespace(a=1) %}{% for i in range(99) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a }}",
    "doubling mapping": "{% set n = namespace(a=1) %}{% for i in range(99) %}{% set n.a = {1: n.a, 2: n.a} %}{% endfor %}",
    "doubling namespace": "{% set n = namespace(a=1) %}{% for i in range(99) %}"
    "{% set m = namespace(a=n.a, b=n.a) %}{% set n.a = m %}{% endfor %}'{{ n }}'",
    "doubling replace": "{% set n = namespace(a='aa') %}"
    "{% for i in range(99) %}{% set n.a = n.a.replace('a', n.a) %}{% endfor %}",
    "doubling replace filter": "{% set n = namespace(a='aa') %}"
    "{% for i in range(99) %}{% set n.a = n.a | replace('a', n.a) %}{% endfor %}",
    "doubling join": "{% set n = namespace(a='aa') %}{% for i in range(99) %}{% set n.a = n.a.join(n.a) %}{% endfor %}",
    "doubling format": "{% set n = namespace(a='aa') %}{% for i in range(99) %}{% set n.a = '%s%s' % (n.a, n.a) %}{% endfor %}",
    "doubling named format": "{% set n = namespace(a='aa') %}"
    "{% for i in range(99) %}{% set n.a = ('%(a)s' * 999) | format(a=n.a) %}{% endfor %}",
    "doubling number": "{% set n = namespace(a=9) %}{% for i in range(999) %}{% set n.a = n.a * n.a %}{% endfor %}",
    "doubling blocks": "{% set a0 %}aaaaaaaaaa{% endset %}"
    + "".join(f"{{% set a{i + 1} %}}{{{{ a{i} }}}}{{{{ a{i} }}}}{{% endset %}}" for i in range(60)),
    "doubling macros": "{% macro m0() %}a{% endmacro %}"
    + "".join(f"{{% macro m{i + 1}() %}}{{{{ m{i}() }}}}{{{{ m{i}() }}}}{{% endmacro %}}" for i in range(60))
    + "{{ m60() }}",
    "macro that calls itself": "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "block that calls itself": "{% block a %}{{ self.a() }}{% endblock %}",
    "deep list": "{% set n = namespace(a=1) %}{% for i in range(9999) %}{% set n.a = [n.a] %}{% endfor %}{{ n.a }}",
    "namespace in itself": "{% set n = namespace(a=1) %}{% set n.a = n %}'{{ n }}'{{ n | string }}",
    "many texts": "{% macro m() %}{{ 'a' * 500000 }}{% endmacro %}{% set l = [" + "m()," * 900 + "] %}",
    # Nested, and long
    "open braces": "{{" * 39_000,
    "open braces and names": "{{a" * 26_000,
    "open braces on a line": "{{{{" * 20_000 + " a }}",
    "many braces": "{{ a }}" * 140_000,
    "many filters": "{{ a | upper }}" * 60_000,
    "many unknown names": "".join(f"{{{{ n{i} | upper }}}}" for i in range(6000)),
    "many unknown filters": "{{ " + " ".join(f"a | f{i} ~" for i in range(5000)) + " 1 }}",
    "many lines": "{{ a }}\n" * 130_000,
    "many conditions": "{% if a %}{% endif %}" * 45_000,
    "many comments": "{# a #}" * 140_000,
    "open comments": "{#" * 500_000,
    "open blocks": "{%" * 500_000,
    "open raw": "{% raw %}" * 100_000,
    "open quote": "{{ '" + "\\'" * 500_000,
    "brackets": "{{ " + "(" * 90_000 + ")" * 90_000 + " }}",
    "lists": "{{ " + "[" * 90_000 + "]" * 90_000 + " }}",
    "nots": "{{ " + "not " * 90_000 + "a }}",
    "minuses": "{{ " + "-" * 90_000 + "1 }}",
    "sums": "{{ 1" + "+1" * 90_000 + " }}",
    "short sums": "{{ 1" + "+1" * 5_000 + " }}",
    "ands": "{{ a" + " and a" * 9_000 + " }}",
    "else chain": "{{ " + "a if a else " * 5_000 + "a }}",
    "attributes": "{{ a" + ".a" * 9_000 + " }}",
    "piped filters": "{{ a" + "|upper" * 9_000 + " }}",
    "calls": "{{ a" + "()" * 9_000 + " }}",
    "powers": "{{ 1" + "**1" * 5_000 + " }}",
    "elifs": "{% if a %}" + "{% elif a %}" * 4_000 + "{% endif %}",
    "blocks": "{% if a %}" * 20_000 + "{% endif %}" * 20_000,
    "loops": "{% for b in a %}" * 20_000 + "{% endfor %}" * 20_000,
    "withs": "{% with %}" * 5_000 + "{% endwith %}" * 5_000,
    "digits": "{{ " + "1_" * 250_000 + "1 }}",
    "blanks": "{{" + " " * MIB + "a }}",
    "blank lines": "\n" * MIB + "{{ a | upper }}",
    "brace and blank lines": "{" + "\n" * MIB + "{{ a }}",
}

SQL: dict[str, str] = {
    "subqueries": "select * from (" * 8_000 + "select 1" + ")" * 8_000,
    "brackets": "select " + "(" * 500_000,
    "lists": "select " + "[" * 500_000,
    "indexes": "select a" + "[1]" * 3_000,
    "many indexes": "select " + "a[1][1][1][1][1][1][1]," * 40_000 + "1",
    "indexes in brackets": "select " + "(" * 190 + "a" + ")[1]" * 190,
    "types": "select cast(a as " + "array<" * 40_000 + "int" + ">" * 40_000 + ")",
    "structs": "select cast(a as " + "struct<a " * 40_000 + "int" + ">" * 40_000 + ")",
    "rows": "select " + "row(" * 25 + "a" + ")" * 25,
    "decimals": "select " + "decimal(" * 40 + "a" + ")" * 40,
    "many rows": "select " + ("row(" * 9 + "a" + ")" * 9 + ",") * 10_000 + "1",
    "selects": "select * from " * 40_000 + "t",
    "joins without on": "select * from t" + " join t" * 40,
    "natural joins": "select * from t" + " natural join t" * 40,
    "nested joins": "select * from t" + " join t" * 40_000 + " on a = b" * 40_000,
    "many joins": "select * from t" + " join t on a = b" * 50_000,
    "many nested joins": ("select * from t" + " join t" * 8 + ";") * 15_000,
    "cases": "select " + "case when a then " * 40_000 + "1" + " end" * 40_000,
    "nots": "select " + "not " * 200_000 + "a",
    "minuses": "select " + "- " * 200_000 + "1",
    "tildes": "select " + "~" * 200_000 + "1",
    "at signs": "select " + "@" * 200_000 + "a",
    "intervals": "select " + "interval " * 100_000 + "'1' day",
    "casts": "select 1" + "::int" * 200_000,
    "dots": "select a" + ".a" * 500_000,
    "arrows": "select a" + "->'a'" * 200_000,
    "lambdas": "select " + "x -> " * 200_000 + "1",
    "functions": "select " + "if(" * 300_000 + "1" + ",1,1)" * 10,
    "sums": "select 1" + "+1" * 500_000,
    "ands": "select 1 where a" + " and a" * 170_000,
    "unions": "select 1" + " union all select 1" * 55_000,
    "fewer unions": "select 1" + " union all select 1" * 24_000,
    "fewer joins": "select * from t" + " join t on a = b" * 16_000,
    "fewer items": "select a in (" + "1," * 49_000 + "1)",
    "fewer sums": "select 1" + "+1" * 49_000,
    "fewer alternatives": "select 1 where a" + " or a = 1" * 24_000,
    "fewer statements": "select 1;" * 33_000,
    "fewer casts": "select 1" + "::int" * 49_000,
    "fewer dots": "select a" + ".a" * 49_000,
    "fewer names": "select " + "a.b c," * 19_000 + "1",
    "tables": "select 1 from " + ",".join(f"t{i}" for i in range(33_000)),
    "withs": "with " + ",".join(f"c{i} as (select * from t{i})" for i in range(30_000)) + " select * from c1",
    "withs of each other": "with d as (select 1)"
    + "".join(f", c{i} as (select * from d join t{i} on a = b)" for i in range(5_000))
    + " select * from d"
    + " union all select * from d" * 5_000,
    "items": "select a in (" + "1," * 500_000 + "1)",
    "statements": "select 1;" * 110_000,
    "semicolons": ";" * MIB,
    "comments": "select 1 " + "/* a */" * 140_000,
    "nested comments": "/*" * 250_000 + "*/" * 250_000,
    "open comments": "/*" * 500_000,
    "line comments": "--\n" * 340_000,
    "quotes": "'" * MIB,
    "open quote": "select '" + "a" * MIB,
    "escaped quotes": "select '" + "''" * 500_000,
    "backslashes": "select '" + "\\" * MIB,
    "dollars": "$" * MIB,
    "dollar quotes": "$a$" * 340_000,
    "blank lines": "\n" * MIB + "select",
    "lines of words": "a\n" * 500_000,
    "digits": "select " + "1" * MIB,
    "a name": "select " + "a" * MIB,
    "commas": "," * MIB,
    "is chain": "select a is " * 90_000,
    "too long": "select 1 -- " + "a" * 2 * MIB,
}

_HEAD = """type: Dataset
name: demo.bomb
owner: owner@example.com
team: "@team"
"""


def spec_of(sql: str) -> str:
    """Return a Dataset Spec with a SQL file beside it, ``bomb.sql``, whose text is the bomb."""
    del sql
    return f"{_HEAD}query_file: bomb.sql\nexecution: {{dialect: duckdb}}\n"


_PLAIN = f"{_HEAD}query_statement: select 1\n"

YAML: dict[str, str] = {
    "blank lines": "\n" * 250_000 + "a: [",
    "carriage returns": "a" + "\r" * 250_000 + "a: [",
    "blanks": " " * 250_000 + "a: [",
    "lines of types": "type\n" * 50_000 + "a: [",
    "blanks and blank lines": "type: Dataset\n" + "  \n" * 80_000 + "a: [",
    "tabs": "\t" * 250_000,
    "flow lists": "a: " + "[" * 250_000,
    "flow mappings": "a: " + "{" * 250_000,
    "flow mappings with keys": "a: " + "{a: " * 60_000,
    "block lists": "a:\n" + "- " * 120_000,
    "question marks": "? " * 120_000,
    "indentation": "".join(f"{' ' * i}a:\n" for i in range(700)),
    "aliases": "a: &a [x]\nb: [" + "*a," * 60_000 + "]",
    "doubling aliases": "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(99)),
    "merges": "a: &a {b: 1}\nc:\n" + "  <<: *a\n" * 20_000,
    "anchors": "&a " * 80_000,
    "tags": "!a " * 80_000,
    "open quote": 'a: "' + "\\\n" * 120_000,
    "long text": "name: " + "a" * 250_000,
    "long key": "a" * 250_000 + ": 1",
    "folded": "a: >\n" + "  a\n\n" * 40_000,
    "escapes": 'a: "' + "\\U0001F600" * 24_000 + '"',
    "many keys": "".join(f"key{i}: {i}\n" for i in range(19_000)),
    "unknown keys": _PLAIN + "".join(f"key{i}: 1\n" for i in range(15_000)),
    "many parameters": f"{_PLAIN}parameters:\n"
    + "".join(f"  - {{name: p{i}, type: date}}\n" for i in range(6_000)),
    "wrong parameters": f"{_PLAIN}parameters: [" + "{}," * 18_000 + "]",
    "wrong names": f"{_PLAIN}parameters: [" + "{name: -, type: x}," * 6_000 + "]",
    "same parameters": f"{_PLAIN}parameters: [" + "{name: a, type: date}," * 6_000 + "]",
    "missing files": f"{_PLAIN}pre_statements: [" + "{name: a, file: a.sql}," * 6_000 + "]",
    "numbers for texts": f"{_PLAIN}tags: [" + "1," * 19_000 + "]",
    "long name": f"{_PLAIN.replace('demo.bomb', 'a' * 250_000)}",
    "long owner": _PLAIN.replace("owner@example.com", "@" * 250_000),
    "long e-mail": _PLAIN.replace("owner@example.com", "a@" + "a." * 120_000),
    "long team": _PLAIN.replace("@team", "@" * 250_000),
    "long cron": f"{_PLAIN}schedule: {{cron: '" + "*/5 " * 60_000 + "'}\n",
    "cron of commas": f"{_PLAIN}schedule: {{cron: '" + "1," * 120_000 + "1 * * * *'}\n",
    "cron of digits": f"{_PLAIN}schedule: {{cron: '0 0 1 1 " + "9" * 250_000 + "'}\n",
    "long time zone": f"{_PLAIN}schedule: {{cron: '0 0 * * *', timezone: '" + "a/" * 120_000 + "'}\n",
    "long dialect": f"{_PLAIN}execution: {{dialect: '" + "a" * 250_000 + "'}\n",
    "long file": f"{_HEAD}query_file: " + "a/" * 120_000 + "q.sql\n",
    "long number": f"{_PLAIN}retries: " + "9" * 250_000,
    "long hexadecimal": f"{_PLAIN}retries: 0x" + "f" * 250_000,
    "long float": f"{_PLAIN}retries: 1." + "9" * 250_000,
    "long exponent": f"{_PLAIN}retries: 1e" + "9" * 250_000,
    "sexagesimal": f"{_PLAIN}retries: " + "1:" * 120_000 + "1",
    "infinite": f"{_PLAIN}retries: .inf",
    "long default": f"{_PLAIN}parameters: [{{name: a, type: integer, default: '" + "9" * 250_000 + "'}]",
    "long date": f"{_PLAIN}parameters: [{{name: a, type: datetime, default: '2024-01-01T"
    + "0" * 240_000
    + "'}]",
    "long float default": f"{_PLAIN}parameters: [{{name: a, type: float, default: '" + "9" * 250_000 + "'}]",
    "many choices": f"{_PLAIN}parameters: [{{name: a, type: string, choices: [" + "a," * 19_000 + "]}]",
    "conditions": f"{_HEAD}parameters:\n"
    + "".join(f"  - {{name: p{i}, type: boolean, default: true}}\n" for i in range(500))
    + "query_statement: |\n"
    + "".join(f"  {{% if p{i} %}}select {i};{{% endif %}}\n" for i in range(500)),
    "NUL": "a: " + "\x00" * 1000,
}

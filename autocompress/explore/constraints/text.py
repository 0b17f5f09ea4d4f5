"""The language of constraints: from a text to a condition.

::

    constraint  =  "if" either "then" either  |  either
    either      =  both { "or" both }
    both        =  part { "and" part }
    part        =  "not" part  |  "(" either ")"  |  comparison
    comparison  =  sum ("<=" | "<" | ">=" | ">" | "==" | "!=") sum { …  sum }
    sum         =  product { ("+" | "-") product }
    product     =  value { "*" value }
    value       =  number  |  word  |  quoted text

A word with a dot is the name of a parameter, one without is a text, ``true``, ``false`` or
``none``. Names may hold ``+``, ``-`` and ``*``: as operators these stand between spaces.
"""

from __future__ import annotations

import re
from typing import Any

from autocompress.errors import ConfigError
from autocompress.explore.constraints.conditions import (
    EQUAL,
    ORDER,
    SUMS,
    All,
    Comparison,
    Condition,
    Literal,
    Name,
    Not,
    Sum,
    Term,
    either,
)

_LONGEST = 1000  # characters of a constraint
_DEEPEST = 50  # parentheses in each other
_KEYWORDS = ("if", "then", "and", "or", "not")
_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"[^"]*"|'[^']*')|(?P<sign><=|>=|==|!=|[<>=()])"""
    r"""|(?P<word>(?:[^\s<>=!()"']|!(?!=))+)|(?P<bad>\S))"""
)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")


def parse_condition(text: object, where: str) -> Condition:
    """Read a constraint.

    Raises:
        ConfigError: naming the place, the text and what is wrong with it.
    """
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"{where} = {text!r}: accepted is a text such as 'a.k <= b.k'")
    if len(text) > _LONGEST:
        raise ConfigError(f"{where}: {len(text)} characters are too many: at most {_LONGEST}")
    return _Parser(text, f"{where} {text!r}").constraint()


class _Parser:
    """Reads one constraint from left to right."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._depth = 0
        self._tokens: list[tuple[str, str]] = []
        for match in _TOKEN.finditer(text.rstrip()):
            kind = str(match.lastgroup)
            token = match[kind]
            if kind == "bad" or token == "=":
                hint = ": equality is written '=='" if token == "=" else ""
                raise self._error(f"cannot read {token!r}{hint}")
            keyword = kind == "word" and token in (*_KEYWORDS, *SUMS, "*")
            self._tokens.append(("sign" if keyword else kind, token))

    def constraint(self) -> Condition:
        if self._take("if"):
            premise = self._either()
            self._expect("then")
            found = either([Not(premise), self._either()])
        else:
            found = self._either()
        if self._tokens:
            raise self._error(f"{self._tokens[0][1]!r} was not expected")
        return found

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return either(parts)

    def _both(self) -> Condition:
        parts = [self._part()]
        while self._take("and"):
            parts.append(self._part())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _part(self) -> Condition:
        if self._take("not"):
            return Not(self._part())
        if self._take("("):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise self._error(f"more than {_DEEPEST} '(' in each other")
            found = self._either()
            self._expect(")")
            self._depth -= 1
            return found
        return self._comparison()

    def _comparison(self) -> Condition:
        left = self._sum()
        parts: list[Condition] = []
        while sign := self._take(*ORDER, *EQUAL):
            right = self._sum()
            parts.append(Comparison(sign, left, right))
            left = right
        if not parts:
            raise self._error(f"a comparison is missing ({', '.join([*ORDER, *EQUAL])})")
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _sum(self) -> Term:
        found = self._product()
        while sign := self._take(*SUMS):
            found = Sum(sign, found, self._product())
        return found

    def _product(self) -> Term:
        found = self._value()
        while self._take("*"):
            found = Sum("*", found, self._value())
        return found

    def _value(self) -> Term:
        kind, token = self._tokens.pop(0) if self._tokens else ("sign", "the end")
        if kind == "sign":
            raise self._error(f"a name or value is missing before {token!r}")
        if kind == "quoted":
            return Literal(token[1:-1])
        if _NUMBER.fullmatch(token):
            return Literal(float(token))
        return Name(token) if "." in token else Literal(_WORDS.get(token, token))

    def _take(self, *signs: str) -> str:
        """Return and remove the next token if it is one of these signs; else ""."""
        if not self._tokens or self._tokens[0][0] != "sign" or self._tokens[0][1] not in signs:
            return ""
        return self._tokens.pop(0)[1]

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            found = repr(self._tokens[0][1]) if self._tokens else "the end"
            raise self._error(f"{sign!r} is missing before {found}")

    def _error(self, text: str) -> ConfigError:
        return ConfigError(f"{self._where}: {text}")

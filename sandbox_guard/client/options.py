"""What may stand behind `%%guard`."""

from __future__ import annotations

import argparse
from typing import NoReturn

from sandbox_guard.client.errors import InterfaceError
from sandbox_guard.client.words import say


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InterfaceError(say("bad_option", message=message), " ".join(self.format_usage().split()))


def _margin(text: str) -> float | dict[str, float]:
    if "=" not in text:
        return float(text)
    pairs = (part.partition("=") for part in text.split(","))
    return {name.strip(): float(value) for name, _, value in pairs}


def _name(text: str) -> str:
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(say("not_a_name", text=repr(text)))
    return text


def _options() -> argparse.ArgumentParser:
    parser = _Parser(prog="%%guard", add_help=False, allow_abbrev=False)
    parser.add_argument("--estimate", action="store_true", help="price and expected ±, without asking")
    parser.add_argument("--fewer-rows", action="store_true", help="what counting fewer rows would trade")
    parser.add_argument("--explain", action="store_true", help="how it would be answered")
    parser.add_argument("--margin", type=_margin, help="± 50, or n=50,total=1000")
    parser.add_argument("--epsilon", type=float, help="what to spend, in total")
    parser.add_argument("--pure", action="store_true", help="with --epsilon: (epsilon, 0)")
    parser.add_argument("--share", type=float, help="what to spend, as a share 0…1 of what remains")
    parser.add_argument("--rows-per-unit", type=int, help="how many rows of one person or firm may count")
    parser.add_argument("--on", choices=("vault", "sample"), default="vault")
    parser.add_argument("--into", metavar="NAME", type=_name, help="also keep the result in this variable")
    return parser


OPTIONS = _options()

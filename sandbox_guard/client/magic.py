"""`%%guard`: a cell of SQL. Loaded by `%load_ext sandbox_guard.client`, and by itself in our notebooks.

    %%guard --margin 50 --into firms
    SELECT reg_district, COUNT(*) FROM ent WHERE is_srdi = :flag GROUP BY reg_district

`:flag` is the notebook's variable of that name, sent as a value beside the SQL; `$` and `{}` stay text.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from sandbox_guard.client import parameters
from sandbox_guard.client.completion import complete_guard_cell
from sandbox_guard.client.errors import InterfaceError
from sandbox_guard.client.options import OPTIONS
from sandbox_guard.client.words import say

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@magics_class
class GuardMagics(Magics):
    """The `%guard` and `%%guard` magics."""

    @no_var_expand
    @line_cell_magic
    def guard(self, line: str, cell: str | None = None) -> Any:
        """Ask the vault. Options: --estimate --explain --margin --epsilon --pure --share
        --rows-per-unit --fewer-rows --on vault|sample --into NAME. `%guard` alone shows the budget."""
        # The package's session is looked up when used, so that tests and notebooks may replace it.
        from sandbox_guard import client

        assert self.shell is not None
        words, sql = _split(line)
        if cell is not None:
            if sql.strip():
                raise InterfaceError(say("sql_on_magic_line", text=repr(sql.strip())))
            sql = cell
        chosen = OPTIONS.parse_args(words)
        if not sql.strip():
            return client.here.budget()
        asked: dict[str, Any] = {
            "params": _bound(sql, self.shell.user_ns),
            "margin": chosen.margin,
            "share": chosen.share,
            "epsilon": chosen.epsilon,
            "pure": chosen.pure,
            "rows_per_unit": chosen.rows_per_unit,
        }
        if chosen.estimate:
            result: Any = client.here.estimate(sql, **asked)
        elif chosen.fewer_rows:
            result = client.here.fewer_rows(sql, **{k: v for k, v in asked.items() if k != "rows_per_unit"})
        elif chosen.explain:
            result = client.here.explain(sql, **asked)
        else:
            result = client.here.sql(sql, on=chosen.on, **asked)
        if chosen.into:
            self.shell.user_ns[chosen.into] = result
        return result


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register `%%guard` and its completions, and make `guard` the client."""
    from sandbox_guard import client

    shell.register_magics(GuardMagics)
    shell.user_ns.setdefault("guard", client)
    if shell.Completer is not None and complete_guard_cell not in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.append(complete_guard_cell)


def _split(line: str) -> tuple[list[str], str]:
    """Leading options of a line, and the SQL behind them, untouched."""
    words: list[str] = []
    rest = line.lstrip()
    flags = {"--estimate", "--fewer-rows", "--explain", "--pure"}
    while rest.startswith("--") and not rest.startswith("-- "):
        word, _, rest = rest.partition(" ")
        rest = rest.lstrip()
        words.append(word)
        if word not in flags and "=" not in word:
            value, _, rest = rest.partition(" ")
            rest = rest.lstrip()
            words += shlex.split(value)
    return words, rest


def _bound(sql: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the `:name`s that the notebook knows. The vault says which are missing."""
    return {name: namespace[name] for name in parameters.names(sql) if name in namespace}

"""What all datasets about one population share: the dictionary of units, and the secret behind ranks."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import duckdb

from sandbox_guard.policy.model import ColumnType, Population, Table
from sandbox_guard.steward.sql import text

SEPARATOR = "\x1f"
"""Between the parts of a composite id, where no id can hold it."""


def id_type(population: Population) -> str:
    return "BIGINT" if population.id.type == "integer" else "VARCHAR"


def published_id(population: Population, table: Table, parts: list[str]) -> str:
    """SQL for the id normalised to the population's one type (SOUNDNESS 7), NULL where it is not one.

    `parts` are SQL over the stored columns. A composite unit's id is its whole tuple (SOUNDNESS 9).
    """
    texts = [f"CAST({p} AS VARCHAR)" for p in parts]
    sound = [f"NOT contains({t}, chr({ord(SEPARATOR)}))" for t in texts]
    if population.id.pattern is not None:
        sound.append(f"regexp_full_match({texts[0]}, {text(population.id.pattern)})")
    if len(parts) > 1:
        whole = f" || chr({ord(SEPARATOR)}) || ".join(texts)
    elif population.id.type == "string":
        whole = texts[0]
    elif table.columns[(table.unit or ("",))[0]].type is ColumnType.INTEGER:
        whole = parts[0]
    else:
        whole = f"CASE WHEN regexp_full_match({texts[0]}, '[+-]?[0-9]{{1,18}}') THEN CAST({texts[0]} AS BIGINT) END"
    return f"CASE WHEN {' AND '.join(sound)} THEN {whole} END"


class Dictionary:
    """Published id to dense id, append only: an id keeps its number over all versions and datasets.

    Attached to the loader's connection as `units`. One transaction an addition, so that a killed load leaves
    at most ids that nothing uses yet.
    """

    TABLE = "units.main.units"

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path, population: Population) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = connection
        connection.execute(f"ATTACH {text(str(path))} AS units")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.TABLE} (id {id_type(population)} NOT NULL, unit BIGINT NOT NULL)"
        )

    def add(self, ids: str) -> None:
        """Number those ids that have no number yet. `ids`: a query for them, each once, in column `id`."""
        self._connection.execute(
            f"""
            INSERT INTO {self.TABLE}
            SELECT id, (SELECT coalesce(max(unit), 0) FROM {self.TABLE}) + row_number() OVER (ORDER BY id)
            FROM ({ids}) new
            WHERE NOT EXISTS (SELECT 1 FROM {self.TABLE} known WHERE known.id = new.id)
            """
        )

    def close(self) -> None:
        self._connection.execute("DETACH units")


def rank_secret(keys: Path, population: str) -> bytes:
    """The secret of this population's ranks: made once, 0600, the same for every version."""
    path = keys / f"rank-{population}.key"
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        fresh = keys / f".rank-{population}-{secrets.token_hex(8)}"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # the first of two loaders wins, whole
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    secret = path.read_bytes()
    if len(secret) != 32:
        raise ValueError(f"{path} is damaged: ranks would change; restore it from a backup")
    return secret

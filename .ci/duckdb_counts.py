#!/usr/bin/env python3
"""Counts the rows of a data folder's Parquet files by service, with DuckDB and nothing of ours.

    duckdb_counts.py SEGMENTS_FOLDER

prints one JSON object. Needs `duckdb` from PyPI.
"""

import json
import pathlib
import sys


class Missing(Exception):
    """DuckDB is not installed."""


def by_service(segments):
    try:
        import duckdb
    except ImportError as error:
        raise Missing("install it with `pip install duckdb`") from error
    files = sorted(str(path) for path in pathlib.Path(segments).rglob("*.records.parquet"))
    if not files:
        return {}
    # Each segment has the attribute columns of its own rows.
    rows = duckdb.execute(
        "SELECT service, count(*) FROM read_parquet(?, union_by_name = true) GROUP BY service ORDER BY service",
        [files],
    ).fetchall()
    return dict(rows)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        print(json.dumps(by_service(sys.argv[1])))
    except Missing as missing:
        sys.exit(f"DuckDB is not there: {missing}")

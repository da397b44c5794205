"""Reads dashboards into the models of grafana-foundation-sdk and writes them again; says what is not the same.

A key that Grafana does not know is dropped by its models without a word, so what is lost is a typo. What the models add
are defaults. Prints a line for each loss; ends with 1 if there is one.
"""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def losses(before, after, place=""):
    """What of `before` is not in `after`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from losses(value, after[key], f"{place}/{key}")
            else:
                yield f"{place}/{key} is lost"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for at, pair in enumerate(zip(before, after)):
            yield from losses(*pair, f"{place}/{at}")
    elif before != after:
        yield f"{place} is {after!r} and was {before!r}"


def main():
    plugins.register_default_plugins()
    status = 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
        after = json.loads(json.dumps(Dashboard.from_json(before), cls=JSONEncoder))
        for loss in losses(before, after):
            print(f"{path}: {loss}")
            status = 1
    return status


sys.exit(main())

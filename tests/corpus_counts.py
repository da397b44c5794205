#!/usr/bin/env python3
"""Counts the corpus without any of our parsers: what `logq ship` of it has to agree with.

    corpus_counts.py CORPUS_FOLDER

prints one JSON object, by the log's path in the corpus: how to ship it (preset, and the year where lines have
none), its lines, its records by severity name ("" is none), and the earliest and the latest time, RFC 3339, UTC.

Lines are counted in the log itself. Severities and times are read from the columns of the *_structured.csv beside
it, which the corpus' authors made with their own tools.
"""

import collections
import csv
import datetime
import json
import pathlib
import sys

# Level words of the corpus by the names that OpenTelemetry's severity numbers have in logq.
NAMES = {
    "INFO": "info",
    "notice": "info",
    "WARN": "warn",
    "WARNING": "warn",
    "ERROR": "error",
    "error": "error",
    "FATAL": "fatal",
}

# The log, its preset, the column with the level, the columns that make the time, how they are written, and the year
# of logs whose lines have none. Linux calls its host column "Level"; OpenSSH has no levels either.
LOGS = [
    ("Apache/Apache_2k.log", "apache_error", "Level", ["Time"], "%a %b %d %H:%M:%S %Y", None),
    ("HDFS/HDFS_2k.log", "hdfs", "Level", ["Date", "Time"], "%y%m%d %H%M%S", None),
    ("Hadoop/Hadoop_2k.log", "log4j", "Level", ["Date", "Time"], "%Y-%m-%d %H:%M:%S,%f", None),
    ("Linux/Linux_2k.log", "syslog", None, ["Month", "Date", "Time"], "%b %d %H:%M:%S", 2005),
    ("OpenSSH/OpenSSH_2k.log", "syslog", None, ["Date", "Day", "Time"], "%b %d %H:%M:%S", 2016),
    ("OpenStack/OpenStack_2k.log", "openstack", "Level", ["Date", "Time"], "%Y-%m-%d %H:%M:%S.%f", None),
    ("Spark/Spark_2k.log", "log4j", "Level", ["Date", "Time"], "%y/%m/%d %H:%M:%S", None),
    ("Zookeeper/Zookeeper_2k.log", "log4j", "Level", ["Date", "Time"], "%Y-%m-%d %H:%M:%S,%f", None),
]


def count_lines(path):
    """The last line needs no end."""
    text = path.read_bytes()
    return text.count(b"\n") + (not text.endswith(b"\n") and text != b"")


def read_time(row, columns, layout, year):
    text = " ".join(row[column] for column in columns)
    if year is not None:
        text, layout = f"{year} {text}", f"%Y {layout}"
    return datetime.datetime.strptime(text, layout)


def rfc3339(time):
    return time.isoformat(timespec="milliseconds") + "Z"


def account(corpus, log, preset, level, columns, layout, year):
    with open(corpus / f"{log}_structured.csv", newline="", encoding="utf-8") as structured:
        rows = list(csv.DictReader(structured))
    times = [read_time(row, columns, layout, year) for row in rows]
    severities = collections.Counter(NAMES[row[level]] if level else "" for row in rows)
    return {
        "preset": preset,
        "year": year,
        "lines": count_lines(corpus / log),
        "severities": dict(sorted(severities.items())),
        "first": rfc3339(min(times)),
        "last": rfc3339(max(times)),
    }


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    corpus = pathlib.Path(sys.argv[1])
    json.dump({log[0]: account(corpus, *log) for log in LOGS}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()

"""What the three Python clients have in common: the command line and the JSON lines by which `cargo ci clients`
drives them. It knows no client; each client's file hands its own `produce`, `consume`, `member` and `transact` to
`main`.

  produce BOOTSTRAP CODEC        records as JSON lines on standard input, sent with acks=all in their order;
                                 prints where each went once all are acknowledged
  consume BOOTSTRAP TOPIC=COUNT  reads partition 0 of each topic from its beginning until COUNT records were seen
  member BOOTSTRAP GROUP TOPIC   joins a group, prints what it is given, and leaves when standard input closes
  transact BOOTSTRAP TOPIC       sends a record in a transaction; prints the error that kept it from that, or null

Bytes travel as hexadecimal text, null as null; a header is a pair of its key and value.
"""

import json
import os
import sys
import threading
import time

# A suite's case that takes longer has failed.
DEADLINE_S = 60
# How often a member commits, so that the suite need not wait long to see it.
COMMIT_INTERVAL_MS = 200
# The shortest session and heartbeat a broker accepts by default.
SESSION_TIMEOUT_MS = 6000
HEARTBEAT_INTERVAL_MS = 500


def read_records():
    """The records on standard input, as (topic, key, value, headers)."""
    for line in sys.stdin:
        record = json.loads(line)
        headers = [(key, _bytes(value)) for key, value in record["headers"]]
        yield record["topic"], _bytes(record["key"]), _bytes(record["value"]), headers


def report_sent(topic, partition, offset):
    """Prints where a record went."""
    _print({"topic": topic, "partition": partition, "offset": offset})


def report_record(topic, partition, offset, timestamp_ms, key, value, headers):
    """Prints a record that was read."""
    _print(
        {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "timestamp_ms": timestamp_ms,
            "key": _text(key),
            "value": _text(value),
            "headers": [[key, _text(value)] for key, value in headers or ()],
        }
    )


class Wanted:
    """How many records of which topic are still to be read, and until when."""

    def __init__(self, arguments):
        pairs = (argument.rsplit("=", 1) for argument in arguments)
        self.left = {topic: int(count) for topic, count in pairs}
        self.end = time.monotonic() + DEADLINE_S

    def topics(self):
        """The topics asked for."""
        return list(self.left)

    def seen(self, topic):
        """Counts one record."""
        self.left[topic] -= 1

    def unfinished(self):
        """Whether records are missing; past the deadline that ends the process."""
        missing = {topic: count for topic, count in self.left.items() if count > 0}
        if missing and time.monotonic() > self.end:
            sys.exit(f"still missing: {missing}")
        return bool(missing)


class Leave:
    """Turns true when the suite closes standard input."""

    def __init__(self):
        self._closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        while os.read(0, 4096):
            pass
        self._closed.set()

    def __bool__(self):
        return self._closed.is_set()


def main(produce, consume, member, transact):
    """Runs the command that the suite asked for."""
    command, bootstrap, *rest = sys.argv[1:]
    if command == "produce":
        produce(bootstrap, rest[0])
    elif command == "consume":
        consume(bootstrap, Wanted(rest))
    elif command == "member":
        member(bootstrap, rest[0], rest[1], Leave())
    elif command == "transact":
        try:
            transact(bootstrap, rest[0])
            error = None
        # Whatever a client throws is what its user sees.
        except Exception as thrown:  # pylint: disable=broad-except
            error = f"{type(thrown).__name__}: {thrown}"
        _print({"error": error})
    else:
        sys.exit(f"no such command: {command}")


def _print(fields):
    print(json.dumps(fields), flush=True)


def _bytes(text):
    return None if text is None else bytes.fromhex(text)


def _text(value):
    return None if value is None else bytes(value).hex()

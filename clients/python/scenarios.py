"""What every Python client is asked to do, and how it reports. Owns the sample records, the checks
and the loop over scenarios; knows no client library."""

import sys
import threading
import time
import traceback

DEADLINE_S = 45
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


class Sample:
    """One record as it is sent and as it must come back."""

    def __init__(self, number, start_ms):
        self.number = number
        self.key = None if number % 7 == 0 else b"key-%d" % number
        self.value = (b"value-%d-" % number) * (1 + number % 50)
        if number % 11 == 5 and self.key:
            self.value = None
        if number % 13 == 3:
            self.value = b""
        self.headers = []
        if number % 3 == 0:
            self.headers = [("h", b"one"), ("h", b"two"), ("empty", b""), ("binary", b"\x00\xff")]
        self.timestamp = start_ms + number

    def content(self):
        return (self.key, self.value, self.headers, self.timestamp)


def samples(count):
    """Records with and without keys, values and headers; timestamps of the last minutes."""
    start_ms = int(time.time() * 1000) - 200_000
    return [Sample(number, start_ms) for number in range(count)]


def check(truth, what):
    """Fails the scenario with a sentence."""
    if not truth:
        raise AssertionError(what)


def equal(found, wanted, what):
    """Fails the scenario when two values differ."""
    if found != wanted:
        raise AssertionError(f"{what}: got {short(found)}, wanted {short(wanted)}")


def short(value):
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "…"


def compare(found, sent, what):
    """Compares (key, value, headers, timestamp) of each record in order."""
    equal(len(found), len(sent), f"{what}: number of records")
    for got, sample in zip(found, sent):
        equal(got, sample.content(), f"{what}: record {sample.number}")


def until(condition, what):
    """Calls `condition` until it is true; fails after the deadline. Conditions wait themselves."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
    raise AssertionError(f"not within {DEADLINE_S} s: {what}")


class Member:
    """A consumer on a thread of its own: `poll` gives numbers of records, `assigned` partitions."""

    def __init__(self, poll, assigned, close):
        self.seen = []
        self.assignment = frozenset()
        self.failure = None
        self._poll, self._assigned, self._close = poll, assigned, close
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.is_set():
                self.seen.extend(self._poll())
                self.assignment = frozenset(self._assigned())
            self._close()
        except Exception:
            self.failure = traceback.format_exc()

    def leave(self):
        self._stop.set()
        self._thread.join(DEADLINE_S)
        check(not self._thread.is_alive(), "a member did not leave")
        check(self.failure is None, f"a member failed: {self.failure}")


def share_work(join, produce, partitions):
    """Two members share `partitions`, one leaves, the other goes on; nothing is lost."""
    everything = frozenset(range(partitions))

    def members_hold(*members):
        time.sleep(0.02)
        for member in members:
            check(member.failure is None, f"a member failed: {member.failure}")
        held = [member.assignment for member in members]
        return all(held) and sum(map(len, held)) == partitions and everything == frozenset().union(*held)

    def seen(wanted, *members):
        return lambda: members_hold(*members) and wanted <= set().union(*(set(m.seen) for m in members))

    first = join()
    produce(range(0, 100))
    until(seen(set(range(100)), first), "the first member reads everything alone")
    second = join()
    until(lambda: members_hold(first, second), "two members share the partitions")
    before = len(first.seen), len(second.seen)
    produce(range(100, 200))
    until(seen(set(range(200)), first, second), "two members read everything")
    check(len(first.seen) > before[0] and len(second.seen) > before[1], "both members did work")
    second.leave()
    until(lambda: members_hold(first), "the first member takes everything back")
    produce(range(200, 300))
    rest = set(range(200, 300))
    until(lambda: members_hold(first) and rest <= set(first.seen), "the first member goes on")
    first.leave()


def run(scenarios):
    """Runs `scenarios` against argv[1] with topics that start with argv[2]; argv[3:] chooses."""
    if len(sys.argv) < 3:
        sys.exit("usage: PROGRAM BOOTSTRAP PREFIX [SCENARIO]...")
    bootstrap, prefix, chosen = sys.argv[1], sys.argv[2], sys.argv[3:]
    failed = 0
    for scenario in scenarios:
        name = scenario.__name__
        if chosen and name not in chosen:
            continue
        start = time.monotonic()
        try:
            scenario(bootstrap, f"{prefix}-{name}")
            print(f"ok {name} {time.monotonic() - start:.1f} s", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
            traceback.print_exc(limit=-3)
    sys.exit(1 if failed else 0)

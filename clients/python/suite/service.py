"""The module `test.service` that the source distribution of kafka-python lacks: a broker that is
already running (KAFKA_URI). Owns no process: starting one is refused."""


class ExternalService:
    """A broker that somebody else started and stops."""

    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        """Nothing to start."""

    def close(self):
        """Nothing to stop."""

    def stop(self):
        """Nothing to stop."""


class SpawnedService:
    """A broker of the test's own: not here."""

    def __init__(self, *_args, **_kwargs):
        raise RuntimeError("this run has a broker already: set KAFKA_URI")

"""One connection to Redis for all greenlets of a process: what is asked at the same time goes out in one write.

Connections then do not grow with streams, and at a high rate most of what a command costs is shared.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import gevent
from gevent.event import AsyncResult, Event
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from persona_stream.errors import ConfigurationError, Unavailable
from persona_stream.journals.redis.scripts import Script

logger = logging.getLogger("persona_stream.redis")

COMMAND_TIMEOUT = 1.5  # how long we wait for Redis where somebody waits for us
_BACKOFF = 0.25  # seconds between attempts to connect
_QUIET = 10.0  # seconds between two lines in the log about refusals, which come with every attempt
_MOST = 500  # commands in one write

Command = Sequence[str | bytes | int]


class UnknownOutcome(Unavailable):
    """Say that something was asked, and nobody knows whether it was done."""


class _PendingCommand:
    __slots__ = ("command", "dropped", "reply", "was_sent")

    def __init__(self, command: Command) -> None:
        self.command, self.reply = command, AsyncResult()
        self.dropped = self.was_sent = False  # nobody waits for it any more; Redis may have done it


def connection_pool(url: str) -> ConnectionPool:
    """Read the address of a Redis.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return ConnectionPool.from_url(
            url,
            socket_connect_timeout=1.0,
            socket_timeout=COMMAND_TIMEOUT,
            socket_keepalive=True,
            # We try again ourselves: only we know what is worth it, and for how long.
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            client_name="persona_stream",
        )
    except ValueError as error:
        raise ConfigurationError(f"redis_url is no address of a Redis: {error}") from None


def unavailable_error(error: type[Unavailable] = Unavailable) -> Unavailable:
    """Make the refusal that a caller gets while Redis is out of reach."""
    return error("Redis, which keeps the runs, is out of reach: try again in a moment", retry_after=2)


class RedisConnection:
    """Ask Redis. Every method but ``start`` may be called by any greenlet of the hub's thread."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._connection: Any = pool.make_connection()
        self._waiting: deque[_PendingCommand] = deque()
        self._work = Event()
        self._not_before = self._quiet_until = 0.0
        self.is_away = self._stopped = False

    def start(self) -> None:
        """Begin to serve."""
        self._greenlet = gevent.spawn(self._serve)

    def stop(self) -> None:
        """Serve nobody any more, and end the connection."""
        self._stopped = True
        self._work.set()
        # Not killed: whoever is killed while it connects leaves a socket behind.
        self._greenlet.join(COMMAND_TIMEOUT)
        self._connection.disconnect()

    def execute(self, *command: str | bytes | int) -> Any:
        """Give the reply to one command.

        Raises:
            Unavailable: Redis is out of reach, or slower than ``SECONDS``, or refuses.
        """
        asked = self._submit(command)
        try:
            reply = asked.reply.get(timeout=COMMAND_TIMEOUT)
        except gevent.Timeout:
            asked.dropped = True
            raise unavailable_error(UnknownOutcome) from None
        return _given(reply)

    def execute_many(self, commands: Iterable[Command]) -> list[Any]:
        """Give the reply to each command, an ``Unavailable`` among them where there is none, however long it takes."""
        return [each.reply.get() for each in [self._submit(command) for command in commands]]

    def run_script(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int] = ()) -> Any:
        """Give what a script gives. Raises as ``ask``."""
        try:
            return self.execute(*script_command(script, keys, arguments))
        except NoScriptError:
            return self.execute("EVAL", script.text, len(keys), *keys, *arguments)

    def run_script_many(
        self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[str | bytes | int]]]
    ) -> list[Any]:
        """Give what a script gives for each of these keys and arguments. As ``ask_all``."""
        commands = [script_command(script, keys, arguments) for keys, arguments in calls]
        replies = self.execute_many(commands)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            # None of them has run, then: Redis has forgotten its scripts, and learns this one again.
            replies = self.execute_many([("SCRIPT", "LOAD", script.text), *commands])[1:]
        return [unavailable_error() if isinstance(reply, NoScriptError) else reply for reply in replies]

    def _submit(self, command: Command) -> _PendingCommand:
        asked = _PendingCommand(command)
        self._waiting.append(asked)
        self._work.set()
        return asked

    def _serve(self) -> None:
        while True:
            self._work.wait()
            if self._stopped:
                return
            batch = [asked for asked in self._next() if not asked.dropped]
            if not batch:
                continue
            try:
                self._exchange(batch)
            except (RedisError, OSError, Unavailable) as error:
                self._fail_batch(batch, error)

    def _exchange(self, batch: list[_PendingCommand]) -> None:
        """Send what is asked, and set the replies.

        A connection may have been closed while nobody used it, and shows that only when it is used: then all that has
        no reply is sent once more, in a new one. Whatever we ask comes to the same when it is asked twice.
        """
        self._connect()
        try:
            self._send(batch)
        except RedisConnectionError:
            self._connection.disconnect()
            self._connect()
            self._send([asked for asked in batch if not asked.reply.ready()])

    def _send(self, batch: list[_PendingCommand]) -> None:
        for asked in batch:
            asked.was_sent = True
        # The chunks of a batch leave in as few writes as there are.
        self._connection.send_packed_command(self._connection.pack_commands([a.command for a in batch]), False)
        for asked in batch:
            asked.reply.set(self._read())

    def _next(self) -> list[_PendingCommand]:
        batch = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
        if not self._waiting:
            self._work.clear()
        return batch

    def _connect(self) -> None:
        if self.is_away and time.monotonic() < self._not_before:
            raise unavailable_error()
        self._connection.connect()
        if self.is_away:
            self.is_away = False
            logger.warning("Redis is back")

    def _read(self) -> Any:
        try:
            return self._connection.read_response()
        except NoScriptError as error:
            return error
        except ResponseError as error:
            # It is full, or read only, or cannot write its disk: as good as away, and for its operator to mend.
            if time.monotonic() > self._quiet_until:
                logger.error("Redis refuses a command: %s", error)  # noqa: TRY400 - what it says is all there is
                self._quiet_until = time.monotonic() + _QUIET
            return unavailable_error()

    def _fail_batch(self, batch: list[_PendingCommand], error: Exception) -> None:
        if not isinstance(error, Unavailable):
            if not self.is_away:
                logger.error("Redis is out of reach: %s", error)
            self.is_away = True
            self._not_before = time.monotonic() + _BACKOFF
            self._connection.disconnect()
        for asked in batch:
            if not asked.reply.ready():
                asked.reply.set(unavailable_error(UnknownOutcome if asked.was_sent else Unavailable))


def script_command(script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Command:
    """Give the command that runs a script."""
    return ("EVALSHA", script.digest, len(keys), *keys, *arguments)


def _given(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply

"""The two Redis connections of a process: one for commands, one for pub/sub.

Their number does not grow with the number of streams. Commands that are submitted at the same time are sent in one
write, so under load most of the cost of a command is shared.

Redis does not store messages, so a message only shortens the wait: a subscriber waits for the confirmation of its
subscription before it reads the stream, and reads everything again after each reconnection.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.event import AsyncResult, Event
from gevent.lock import RLock
from redis import backoff, exceptions, retry
from redis.connection import ConnectionPool

from persona_stream.errors import ConfigurationError, Unavailable
from persona_stream.journals.redis.scripts import Script

logger = logging.getLogger("persona_stream.redis")

COMMAND_TIMEOUT = 1.5  # seconds
_RECONNECT_DELAY = 0.25  # seconds
_REJECTION_LOG_INTERVAL = 10.0  # seconds; rejections recur with each attempt
_MAX_BATCH_COMMANDS = 500
_PING_INTERVAL = 5.0  # seconds without a message
_SUBSCRIPTION_RECONNECT_DELAYS = (0.1, 0.2, 0.5, 1.0)  # seconds

Command = Sequence[str | bytes | int]


# Errors about Redis itself, and not about one command or key.
_REJECTIONS = (
    exceptions.ReadOnlyError, exceptions.OutOfMemoryError, exceptions.NoPermissionError, exceptions.MasterDownError,
)  # fmt: skip
_OTHER_REJECTIONS = ("MISCONF", "NOREPLICAS")


class UnknownOutcome(Unavailable):
    """Command that was sent without receiving a reply: Redis may have executed it."""


@dataclass(slots=True, eq=False)
class _PendingCommand:
    command: Command
    reply: AsyncResult = field(default_factory=AsyncResult)
    is_abandoned: bool = False  # no caller waits any more
    was_sent: bool = False


def connection_pool(url: str) -> ConnectionPool:
    """Create the connection pool of a Redis server; raise ``ConfigurationError`` if the URL is invalid."""
    try:
        return ConnectionPool.from_url(
            url,
            socket_connect_timeout=1.0,
            socket_timeout=COMMAND_TIMEOUT,
            socket_keepalive=True,
            retry=retry.Retry(backoff.NoBackoff(), 0),  # the callers decide what to retry and for how long
            protocol=2,
            client_name="persona_stream",
        )
    except ValueError as error:
        raise ConfigurationError(f"redis_url is not a valid Redis URL: {error}") from None


def unavailable_error(error: type[Unavailable] = Unavailable) -> Unavailable:
    """Create the error that clients receive while Redis is unavailable."""
    return error("Redis, which stores the runs, is unavailable; retry in 2 s", retry_after=2)


class RedisConnection:
    """Pipelined connection. All methods but ``start`` may be called by any greenlet of the event loop's thread."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._connection: Any = pool.make_connection()
        self._pending: deque[_PendingCommand] = deque()
        self._wakeup = Event()
        self._reconnect_at = 0.0
        self._log_rejections_at = 0.0
        self._is_stopped = False
        self.is_unavailable = False
        self.rejects_writes = False  # since the latest script
        self._is_demoted = False

    def start(self) -> None:
        """Start the greenlet that serves commands."""
        self._greenlet = gevent.spawn(self._serve)

    def stop(self) -> None:
        """Stop serving commands and close the connection."""
        self._is_stopped = True
        self._wakeup.set()
        # Not killed: a greenlet that is killed while it connects leaks its socket.
        self._greenlet.join(COMMAND_TIMEOUT)
        self._connection.disconnect()

    def execute(self, *command: str | bytes | int) -> Any:
        """Execute a command and return its reply; raise ``Unavailable`` if there is none within ``COMMAND_TIMEOUT``."""
        pending = self._submit(command)
        try:
            reply = pending.reply.get(timeout=COMMAND_TIMEOUT)
        except gevent.Timeout:
            pending.is_abandoned = True
            raise unavailable_error(UnknownOutcome) from None
        if isinstance(reply, Exception):
            raise reply
        return reply

    def execute_many(self, commands: Iterable[Command]) -> list[Any]:
        """Execute commands and return their replies without a timeout; ``Unavailable`` objects stand for failures."""
        return [pending.reply.get() for pending in [self._submit(command) for command in commands]]

    def run_script(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int] = ()) -> Any:
        """Run a script and return its reply. Raises like ``execute``."""
        try:
            return self.execute("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except exceptions.NoScriptError:
            return self.execute("EVAL", script.text, len(keys), *keys, *arguments)

    def run_script_many(
        self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[str | bytes | int]]]
    ) -> list[Any]:
        """Run a script for each pair of keys and arguments. Returns like ``execute_many``."""
        commands: list[Command] = [("EVALSHA", script.digest, len(keys), *keys, *args) for keys, args in calls]
        replies = self.execute_many(commands)
        if any(isinstance(reply, exceptions.NoScriptError) for reply in replies):
            # Then no call was executed, because Redis has lost its scripts.
            replies = self.execute_many([("SCRIPT", "LOAD", script.text), *commands])[1:]
        return [unavailable_error() if isinstance(reply, exceptions.NoScriptError) else reply for reply in replies]

    def _submit(self, command: Command) -> _PendingCommand:
        pending = _PendingCommand(command)
        self._pending.append(pending)
        self._wakeup.set()
        return pending

    def _serve(self) -> None:
        while True:
            self._wakeup.wait()
            if self._is_stopped:
                return
            batch = [pending for pending in self._next_batch() if not pending.is_abandoned]
            if not batch:
                continue
            try:
                self._exchange(batch)
            except (exceptions.RedisError, OSError, Unavailable) as error:
                self._fail_batch(batch, error)

    def _exchange(self, batch: list[_PendingCommand]) -> None:
        """Send a batch and set its replies.

        An idle connection that the server closed shows that only when it is used; then all commands without a reply are
        sent again over a new connection. All commands of this package are idempotent.
        """
        self._connect()
        try:
            self._send(batch)
        except exceptions.ConnectionError:
            self._connection.disconnect()
            self._connect()
            self._send([pending for pending in batch if not pending.reply.ready()])

    def _send(self, batch: list[_PendingCommand]) -> None:
        for pending in batch:
            pending.was_sent = True
        # Packed together, the commands leave in as few writes as possible.
        packed = self._connection.pack_commands([pending.command for pending in batch])
        self._connection.send_packed_command(packed, check_health=False)
        for pending in batch:
            reply = self._read_reply()
            pending.reply.set(reply)
            if pending.command[0] in ("EVALSHA", "EVAL") and not isinstance(reply, Exception):
                self.rejects_writes = False
        if self._is_demoted:  # a former master keeps its connections: only a new one leads to its successor
            self._is_demoted = False
            self._connection.disconnect()

    def _next_batch(self) -> list[_PendingCommand]:
        batch = [self._pending.popleft() for _ in range(min(_MAX_BATCH_COMMANDS, len(self._pending)))]
        if not self._pending:
            self._wakeup.clear()
        return batch

    def _connect(self) -> None:
        if self.is_unavailable and time.monotonic() < self._reconnect_at:
            raise unavailable_error()
        self._connection.connect()
        if self.is_unavailable:
            self.is_unavailable = False
            logger.warning("Redis is available again")

    def _read_reply(self) -> Any:
        try:
            return self._connection.read_response()
        except exceptions.NoScriptError as error:
            return error
        except exceptions.ResponseError as error:
            # Out of memory, read-only, or unable to write to disk: unavailable until the operator repairs it.
            if time.monotonic() > self._log_rejections_at:
                logger.error("Redis rejects a command: %s", error)  # noqa: TRY400 - the message is sufficient
                self._log_rejections_at = time.monotonic() + _REJECTION_LOG_INTERVAL
            if isinstance(error, _REJECTIONS) or str(error).startswith(_OTHER_REJECTIONS):
                self.rejects_writes = True
            self._is_demoted = self._is_demoted or isinstance(error, exceptions.ReadOnlyError)
            return unavailable_error()

    def _fail_batch(self, batch: list[_PendingCommand], error: Exception) -> None:
        if not isinstance(error, Unavailable):
            if not self.is_unavailable:
                logger.error("Redis is unavailable: %s", error)
            self.is_unavailable = True
            self._reconnect_at = time.monotonic() + _RECONNECT_DELAY
            self._connection.disconnect()
        for pending in batch:
            if not pending.reply.ready():
                pending.reply.set(unavailable_error(UnknownOutcome if pending.was_sent else Unavailable))


class PubSub:
    """Subscriber of channels, of ``inbox`` from the start.

    ``on_message`` is called with each message, ``on_reconnected`` after each connection; neither may block.
    """

    def __init__(
        self, pool: ConnectionPool, inbox: str, on_message: Callable[[bytes], None], on_reconnected: Callable[[], None]
    ) -> None:
        self._connection: Any = pool.make_connection()
        self._on_message = on_message
        self._on_reconnected = on_reconnected
        self._channels = {inbox: Event()}  # each event is set once the subscription is confirmed
        self._send_lock = RLock()
        self._is_stopped = False
        self.is_unavailable = True

    def start(self) -> None:
        """Start the greenlet that receives messages."""
        self._greenlet = gevent.spawn(self._serve)

    def stop(self) -> None:
        """Stop receiving messages and close the connection."""
        self._is_stopped = True
        self._connection.disconnect()
        # Not killed: a greenlet that is killed while it connects leaks its socket.
        self._greenlet.join(COMMAND_TIMEOUT)
        self._connection.disconnect()

    def subscribe(self, channel: str) -> None:
        """Subscribe to a channel and wait for the confirmation; later messages cannot be missed.

        Raises:
            Unavailable: Redis is unavailable. The subscription takes effect at the next reconnection.
        """
        confirmed = self._channels.setdefault(channel, Event())
        if not confirmed.is_set():
            self._send("SUBSCRIBE", channel)
            if not confirmed.wait(COMMAND_TIMEOUT):
                raise unavailable_error()

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Unsubscribe from channels."""
        known = [channel for channel in channels if self._channels.pop(channel, None) is not None]
        if known:
            self._send("UNSUBSCRIBE", *known)

    def _send(self, *command: str) -> None:
        with self._send_lock:
            # Without a connection there is nothing to do: the next one starts with the current channels.
            if not self.is_unavailable:
                try:
                    self._connection.send_command(*command, check_health=False)
                except (exceptions.RedisError, OSError):
                    self._connection.disconnect()

    def _serve(self) -> None:
        failures = 0
        while not self._is_stopped:
            try:
                self._connect()
                failures = 0
                while not self._is_stopped:
                    self._receive()
            except (exceptions.RedisError, OSError) as error:
                if not (self.is_unavailable or self._is_stopped):
                    logger.warning("lost the pub/sub connection to Redis: %s", error)
                self.is_unavailable = True
                self._connection.disconnect()
                for confirmed in self._channels.values():
                    confirmed.clear()
                gevent.sleep(_SUBSCRIPTION_RECONNECT_DELAYS[min(failures, len(_SUBSCRIPTION_RECONNECT_DELAYS) - 1)])
                failures += 1

    def _connect(self) -> None:
        self._connection.connect()
        with self._send_lock:
            self.is_unavailable = False
            self._connection.send_command("SUBSCRIBE", *self._channels, check_health=False)
        self._on_reconnected()

    def _receive(self) -> None:
        try:
            reply = self._connection.read_response(timeout=_PING_INTERVAL, disconnect_on_error=False)
        except exceptions.TimeoutError:
            self._send("PING")
            # Any reply proves that the connection is alive; a second timeout raises and leads to a reconnection.
            reply = self._connection.read_response(timeout=_PING_INTERVAL)
        match reply:
            case [b"message", channel, message]:
                try:
                    self._on_message(message)
                except Exception:  # another application may publish anything
                    logger.exception("a message in the channel %r cannot be processed", channel)
            case [b"subscribe", channel, *_] if (confirmed := self._channels.get(channel.decode())) is not None:
                confirmed.set()

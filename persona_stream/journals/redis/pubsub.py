"""Pub/sub connection of a process, subscribed to the channels of the runs that it follows.

Redis does not store messages, so a message only shortens the wait: a subscriber waits for the confirmation of its
subscription before it reads the stream, and reads everything again after each reconnection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import RLock
from redis.connection import ConnectionPool
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from persona_stream.journals.redis.connection import COMMAND_TIMEOUT, unavailable_error

logger = logging.getLogger("persona_stream.redis")

_PING_INTERVAL = 5.0  # seconds without a message
_RECONNECT_DELAYS = (0.1, 0.2, 0.5, 1.0)  # seconds


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
                except (RedisError, OSError):
                    self._connection.disconnect()

    def _serve(self) -> None:
        failures = 0
        while not self._is_stopped:
            try:
                self._connect()
                failures = 0
                while not self._is_stopped:
                    self._receive()
            except (RedisError, OSError) as error:
                if not (self.is_unavailable or self._is_stopped):
                    logger.warning("lost the pub/sub connection to Redis: %s", error)
                self.is_unavailable = True
                self._connection.disconnect()
                for confirmed in self._channels.values():
                    confirmed.clear()
                gevent.sleep(_RECONNECT_DELAYS[min(failures, len(_RECONNECT_DELAYS) - 1)])
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
        except RedisTimeout:
            self._send("PING")
            # Any reply proves that the connection is alive; a second timeout raises and leads to a reconnection.
            reply = self._connection.read_response(timeout=_PING_INTERVAL)
        match reply:
            case [b"message", _, message]:
                self._on_message(message)
            case [b"subscribe", channel, *_] if (confirmed := self._channels.get(channel.decode())) is not None:
                confirmed.set()

"""Hear what others write: one connection of the process, subscribed to the runs that it follows.

Redis forgets what it says while nobody listens, so news only shorten the wait: who subscribes waits for the word
that the subscription stands, then reads the stream; and after each break everything is read again.
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

_SILENCE = 5.0  # seconds without a word, after which we ask whether anybody is there
_BACKOFF = (0.1, 0.2, 0.5, 1.0)  # seconds


class PubSub:
    """Listen to channels; to ``inbox`` from the start.

    ``on_news`` is called with each message, and ``on_restored`` after each break; neither may block.
    """

    def __init__(
        self, pool: ConnectionPool, inbox: str, on_news: Callable[[bytes], None], on_restored: Callable[[], None]
    ) -> None:
        self._connection: Any = pool.make_connection()
        self._on_news, self._on_restored = on_news, on_restored
        self._channels = {inbox: Event()}  # each set when the subscription stands
        self._sending = RLock()
        self.is_away = True
        self._stopped = False

    def start(self) -> None:
        """Begin to listen."""
        self._greenlet = gevent.spawn(self._serve)

    def stop(self) -> None:
        """Listen no more, and end the connection."""
        self._stopped = True
        self._connection.disconnect()
        # Not killed: whoever is killed while it connects leaves a socket behind.
        self._greenlet.join(COMMAND_TIMEOUT)
        self._connection.disconnect()

    def subscribe(self, channel: str) -> None:
        """Listen to a channel, and come back when nothing that is said there from now on can be missed.

        Raises:
            Unavailable: Redis is out of reach. It will be listened to all the same as soon as that is over.
        """
        stands = self._channels.setdefault(channel, Event())
        if not stands.is_set():
            self._send("SUBSCRIBE", channel)
            if not stands.wait(COMMAND_TIMEOUT):
                raise unavailable_error()

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Listen to these no more."""
        known = [channel for channel in channels if self._channels.pop(channel, None) is not None]
        if known:
            self._send("UNSUBSCRIBE", *known)

    def _send(self, *command: str) -> None:
        with self._sending:
            # While the connection is down this changes nothing: it begins with the channels that count then.
            if not self.is_away:
                try:
                    self._connection.send_command(*command, check_health=False)
                except (RedisError, OSError):
                    self._connection.disconnect()

    def _serve(self) -> None:
        failures = 0
        while not self._stopped:
            try:
                self._connect()
                failures = 0
                while not self._stopped:
                    self._on_message()
            except (RedisError, OSError) as error:
                if not (self.is_away or self._stopped):
                    logger.warning("the news from Redis stopped: %s", error)
                self.is_away = True
                self._connection.disconnect()
                for stands in self._channels.values():
                    stands.clear()
                gevent.sleep(_BACKOFF[min(failures, len(_BACKOFF) - 1)])
                failures += 1

    def _connect(self) -> None:
        self._connection.connect()
        with self._sending:
            self.is_away = False
            self._connection.send_command("SUBSCRIBE", *self._channels, check_health=False)
        self._on_restored()

    def _on_message(self) -> None:
        try:
            reply = self._connection.read_response(timeout=_SILENCE, disconnect_on_error=False)
        except RedisTimeout:
            self._send("PING")
            # Whatever comes now shows that somebody is there; silence raises, and we connect anew.
            reply = self._connection.read_response(timeout=_SILENCE)
        if isinstance(reply, list) and reply[0] == b"message":
            self._on_news(reply[2])
        elif isinstance(reply, list) and reply[0] == b"subscribe" and (stands := self._channels.get(reply[1].decode())):
            stands.set()

"""Celery workers with RabbitMQ as the broker, and the journals in Redis."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.processes import free_port
from tests.faults.test_celery import Cluster, ask
from tests.polling import wait_for
from tests.redis_server import RedisServer
from tests.sse_client import answer, events, read

SERVER = shutil.which("rabbitmq-server") or "/usr/sbin/rabbitmq-server"


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private RabbitMQ server; its URL."""
    if not Path(SERVER).exists() and os.environ.get("CI") != "true":
        pytest.skip("needs rabbitmq-server: apt-get install rabbitmq-server")
    folder = tmp_path_factory.mktemp("rabbitmq")
    port = free_port()
    (folder / "enabled_plugins").write_text("[].\n")
    environment = {
        **os.environ,
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_NODENAME": f"persona_stream_{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
    }
    # Not Debian's wrapper, which changes the user and the home directory.
    program = "/usr/lib/rabbitmq/bin/rabbitmq-server" if Path("/usr/lib/rabbitmq/bin").exists() else SERVER
    output = (folder / "output").open("wb")
    process = subprocess.Popen([program], env=environment, stdout=output, stderr=output, start_new_session=True)
    until = time.monotonic() + 60
    while b"completed with" not in (folder / "output").read_bytes():
        assert process.poll() is None, (folder / "output").read_text()
        assert time.monotonic() < until, (folder / "output").read_text()
        time.sleep(0.2)
    yield f"amqp://guest:guest@127.0.0.1:{port}//"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    output.close()
    # Erlang's port mapper is a daemon that the server starts; it refuses while it knows a node that lives.
    kill = ["epmd", "-port", environment["ERL_EPMD_PORT"], "-kill"]
    wait_for(lambda: "Killed" in subprocess.run(kill, capture_output=True, text=True, check=False).stdout)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    redis = RedisServer()
    cluster = Cluster(redis)
    yield cluster
    cluster.close()
    redis.close()


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_rabbitmq_carries_the_queries(rabbitmq: str, cluster: Cluster, pool: str):
    """Runs are answered, cancelled and bounded as with Redis."""
    cluster.start_worker(2, f"--broker-url={rabbitmq}", f"--pool={pool}")
    server = cluster.start_server(broker_url=rabbitmq)
    cluster.wait_for_slots(server, 2)
    streams = [ask(server, "sleep 0.2") for _ in range(10)]
    assert [answer(read(stream)) for stream in streams] == ["slept"] * 10
    long = ask(server, "words 60")
    stream = events(long)
    next(event for event in stream if event.data["status"] == "streaming")
    server.post(f"/api/runs/{long.headers['X-Run-Id']}/cancel")
    assert list(stream)[-1].data["status"] == "cancelled"
    assert answer(read(ask(server, "sleep 0"))) == "slept"

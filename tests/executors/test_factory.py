"""Tests of the backends' specifications and of the executor that the settings select."""

from __future__ import annotations

import logging

import pytest

from persona_stream.errors import ConfigurationError
from persona_stream.executors.factory import build_execution
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.settings.schema import BackendConfig, Settings

ASK = "tests.executors.process.sample_backends:ask"


def test_a_function_is_sent_by_its_import_path_and_a_bundled_backend_by_its_name():
    """A pair of a backend and its fallback is created from the settings too."""
    settings = Settings(
        backend=ASK,
        backends=(
            BackendConfig("demos", {"backend": "demo"}, ("d",)),
            BackendConfig("pair", {}, ("p",), fallback="default"),
        ),
    )
    router, _ = build_execution(settings, None, None)
    specs = [router.find(name).backend.spec for name in ("anything", "d", "p")]
    assert [(spec.name, spec.import_path) for spec in specs] == [("default", ASK), ("demos", None), ("pair", None)]


def test_a_function_that_is_passed_has_no_specification():
    """It exists in this process only, so the process executor refuses it."""
    router, _ = build_execution(Settings(), None, lambda message: message)
    assert router.find("anything").backend.spec is None
    with pytest.raises(ConfigurationError, match="executor process imports the backend in worker processes"):
        build_execution(Settings(executor="process"), None, lambda message: message)


def test_auto_means_greenlet_with_a_warning(caplog: pytest.LogCaptureFixture):
    """The name is still accepted."""
    logger = logging.getLogger("persona_stream")
    logger.addHandler(caplog.handler)
    try:
        router, executors = build_execution(Settings(executor="auto"), None, None)
    finally:
        logger.removeHandler(caplog.handler)
    assert isinstance(executors.for_backend(router.find("anything").backend), GreenletExecutor)
    assert {record.getMessage() for record in caplog.records} == {
        "executor auto is deprecated and means greenlet: set executor to greenlet, thread or process"
    }

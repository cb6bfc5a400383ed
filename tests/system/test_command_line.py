# SPDX-License-Identifier: Apache-2.0
"""Start-up: good settings are shown, bad ones stop the start with one line and exit code 2, and the demo tells the truth."""
import json
import re

import pytest

from harness.children import free_ports
from harness.processes import TOKEN, run_to_end


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.mark.parametrize("variable, value", [
    ("APP_PORT", "0x50"), ("APP_PORT", "70000"), ("APP_PORT", ""), ("EVENT_TRANSPORT", "kafka"), ("RABBITMQ_MAX_RETRIES", "-1"),
    ("RABBITMQ_RETRY_DELAY_MS", "soon"), ("WORKER_PAUSE_ON_OUTAGE", "perhaps"), ("ALLOWED_ORIGINS", "*"), ("ALLOWED_ORIGINS", '["http://a","*"]'),
    ("RATE_LIMIT_DEFAULT", "lots"), ("RABBITMQ_URL", "http://x"), ("REDIS_URL", "localhost"), ("TRUSTED_PROXIES", "300.0.0.0/8"),
    ("WEBSOCKET_MAX_MESSAGE_BYTES", "0"), ("LOG_FORMAT", "xml"), ("RABBITMQ_QUEUE_TYPE", "stream"), ("REALTIME_TOKEN", "two\nlines")])
def test_a_bad_value_stops_the_start_with_one_line(folder, variable, value):
    code, out, err = run_to_end(["app"], folder, {"EVENT_TRANSPORT": "memory", variable: value})
    lines = [line for line in (out + err).splitlines() if line.strip()]
    assert code == 2 and len(lines) == 1, (code, out, err)
    assert f"ADVANCED_{variable}" in lines[0]
    if variable != "REALTIME_TOKEN" and value:
        assert value in lines[0] or json.dumps(value)[1:-1] in lines[0], lines[0]


def test_an_unknown_flag_or_command_is_2(folder):
    for arguments in (["app", "--no-such-flag"], ["nonsense"], []):
        code, out, err = run_to_end(arguments or ["--nope"], folder)
        assert code == 2 and (out + err).strip()


def test_help_names_options_variables_and_defaults(folder):
    for command in ("app", "worker", "demo", "dlq", "bench", "config", "version"):
        code, out, _ = run_to_end([command, "--help"], folder)
        assert code == 0 and "--help" in out, command
    _, out, _ = run_to_end(["worker", "--help"], folder)
    assert "ADVANCED_RABBITMQ_PREFETCH_COUNT" in out and "256" in out and "--rabbitmq-prefetch-count" in out


def test_version_is_a_line(folder):
    code, out, _ = run_to_end(["version"], folder)
    assert code == 0 and re.search(r"\d+\.\d+\.\d+", out)


def test_config_shows_what_is_in_force_and_no_secret(folder):
    settings = {"RABBITMQ_URL": "amqp://user:s3cretA@broker:5672/", "REDIS_URL": "redis://:s3cretB@cache:6379/2", "APP_PORT": "9123",
                "OTEL_EXPORTER_OTLP_HEADERS": "authorization=s3cretC"}
    code, out, err = run_to_end(["config"], folder, settings)
    assert code == 0 and "ADVANCED_APP_PORT" in out and "9123" in out and "broker:5672" in out
    for secret in (TOKEN, "s3cretA", "s3cretB", "s3cretC"):
        assert secret not in out + err


def test_flag_beats_environment_beats_file_beats_default(folder):
    (folder / "my.env").write_text("# comment\nADVANCED_PROJECT_NAME='from file'\nADVANCED_SSE_HEARTBEAT_SECONDS=7\nADVANCED_BOARD_CHANNEL=file\n")
    code, out, err = run_to_end(["config", "--env-file", str(folder / "my.env"), "--board-channel", "flag"], folder,
                                {"PROJECT_NAME": "from environment", "BOARD_CHANNEL": "environment"})
    assert code == 0, err
    assert "from environment" in out and "from file" not in out
    assert re.search(r"ADVANCED_SSE_HEARTBEAT_SECONDS\W+7\b", out)
    assert re.search(r"ADVANCED_BOARD_CHANNEL\W+flag", out)


def test_the_env_file_of_the_folder_is_read(folder):
    (folder / ".env").write_text("ADVANCED_PROJECT_NAME=of-the-folder\n")
    assert "of-the-folder" in run_to_end(["config"], folder)[1]


def test_a_port_that_is_taken_stops_the_start(app, folder):
    code, out, err = run_to_end(["app"], folder, {"EVENT_TRANSPORT": "memory", "APP_PORT": app.port})
    assert code in (1, 2) and str(app.port) in out + err


def test_the_demo_prints_the_event_after_its_trip(app, folder):
    code, out, err = run_to_end(["demo", "--url", f"http://127.0.0.1:{app.port}"], folder)
    assert code == 0, (out, err)
    assert "correlation_id" in out and re.search(r"\d ?ms", out)


def test_the_demo_says_why_it_fails(app, folder):
    closed = free_ports(1)[0]
    for arguments, settings in ([["--url", f"http://127.0.0.1:{closed}"], {}],
                                [["--url", f"http://127.0.0.1:{app.port}"], {"REALTIME_TOKEN": "wrong-one"}]):
        code, out, err = run_to_end(["demo", "--timeout", "3", *arguments], folder, settings)
        assert code == 1 and err.strip() and "wrong-one" not in out + err


def test_health_asks_the_process(app, folder):
    assert run_to_end(["health"], folder, {"APP_PORT": app.port})[0] == 0
    assert run_to_end(["health"], folder, {"APP_PORT": free_ports(1)[0]})[0] == 1

"""The server of `gsdyn explore`: one line for what is wrong, a clean end."""

import signal
import socket
import subprocess
import sys

import pytest

from gsdyn.cli import main
from gsdyn.explore import serve

QUICK = """
import sys
import gsdyn.explore.server as server
server.prepare = lambda: None  # what is compiled is not what ends here
from gsdyn.cli import main
sys.exit(main(["explore", "--no-open", "--port", "0"]))
"""


@pytest.fixture
def taken():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_a_port_in_use_is_told_in_one_line(taken, capsys):
    assert main(["explore", "--no-open", "--port", str(taken)]) == 2
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert last == f"gsdyn: error: port must be free, got {taken}, which is in use: choose another, or 0 for any"


@pytest.mark.parametrize("port", [-1, 65536, 1.5, "web"])
def test_what_is_no_port(port):
    with pytest.raises(ValueError, match="port must be"):
        serve(port, browse=False)


def test_a_report_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="path must be a saved report"):
        serve(0, browse=False, report=tmp_path / "nothing.zarr")


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGTERM, id="kill", marks=pytest.mark.slow)],
)
def test_an_interruption_ends_it_cleanly(number):
    command = [sys.executable, "-c", QUICK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert told.splitlines()[-1] == "stopped"
    assert "Traceback" not in told

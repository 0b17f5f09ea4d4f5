import socket
import sys
import threading

import pytest

from autocompress.cli import main
from autocompress.errors import ConfigError, ExecutorError, MissingExtra
from autocompress.executors.ray.cluster import check_fit, load_ray, reach
from autocompress.executors.ray.head import Head
from autocompress.executors.ray.settings import RaySettings, check_used

NODES = [{"CPU": 4.0, "GPU": 2.0}, {"CPU": 16.0}]


def test_without_ray_one_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'autocompress\[ray\]'"):
        load_ray()


def test_an_address_nobody_listens_at_is_told_within_seconds():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ExecutorError, match=f"{address}.*no Ray cluster answers there"):
            reach(address)


def test_an_address_where_something_else_listens_is_told_too():
    def serve():
        server.accept()[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(ExecutorError, match="not the head of a Ray cluster"):
            reach(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "http://head:8265"])
def test_what_is_no_address_of_a_head_is_refused(address):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        reach(address)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gpus_per_trial": 4}, "gpus_per_trial = 4: no node of the cluster has more than 2 GPUs"),
        ({"cpus_per_trial": 32}, "cpus_per_trial = 32: no node .* more than 16 CPUs"),
        ({"cpus_per_trial": 8, "gpus_per_trial": 1}, "8 CPUs and 1 GPUs at once"),
        ({"latency_on": "stopwatch"}, "latency_on = 'stopwatch': no node"),
    ],
)
def test_a_trial_that_fits_no_node_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_fit(RaySettings(**settings), NODES)


def test_a_trial_that_fits_some_node_is_fine():
    check_fit(RaySettings(gpus_per_trial=0.25), NODES)
    check_fit(RaySettings(latency_on="stopwatch"), [*NODES, {"CPU": 1.0, "stopwatch": 1.0}])


def test_settings_of_a_cluster_that_is_not_used_are_refused():
    check_used("ray", ["address"])
    check_used("local", [])
    check_used("local", ["storage_path"], fetches=True)
    message = r"--cpus-per-trial, ray\.latency_on: .* executor = 'local': add --executor ray"
    with pytest.raises(ConfigError, match=message):
        check_used("local", ["cpus_per_trial", "latency_on"])


def test_on_the_command_line_too(tmp_path, capfd):
    options = ["--address", "auto", "--set", "ray.retries=2", "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ended:
        main(["search", *options])
    assert ended.value.code == 2
    assert capfd.readouterr().err.startswith("error: --address, ray.retries: for trials on Ray")
    assert not (tmp_path / "run").exists()


def test_a_head_that_is_gone_is_told_soon(monkeypatch):
    monkeypatch.setattr("autocompress.executors.ray.head._EVERY", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        head = Head(address)
        head.check(now=True)
        assert not head.lost
    with pytest.raises(ExecutorError, match=f"{address} is gone, .*autocompress resume"):
        head.check(now=True)
    assert head.lost
    with pytest.raises(ExecutorError):
        head.check()


def greeting(server, count):
    """Greet those who connect, as a head does; return the lines."""
    lines = []
    for _ in range(count):
        lines.append(server.accept()[0])
        lines[-1].sendall(b"settings")
    return lines


@pytest.fixture
def looks(monkeypatch):
    """Have every look dial anew, and none wait."""
    monkeypatch.setattr("autocompress.executors.ray.head._EVERY", 0.01)
    monkeypatch.setattr("autocompress.executors.ray.head._HELD", 0.0)


def test_a_head_that_was_started_again_is_another_one(looks):
    with socket.create_server(("127.0.0.1", 0)) as server:
        head = Head(f"127.0.0.1:{server.getsockname()[1]}")
        head.check(now=True)
        head.check(now=True)
        for line in greeting(server, 2):  # the process ends, and another listens at its port
            line.close()
        with pytest.raises(ExecutorError, match="is gone, or was started again"):
            head.check(now=True)
    assert head.lost


def test_a_head_that_hangs_up_on_the_silent_is_no_other_one(looks):
    with socket.create_server(("127.0.0.1", 0)) as server:
        head = Head(f"127.0.0.1:{server.getsockname()[1]}")
        for _ in range(5):
            head.check(now=True)
            greeting(server, 1)[0].close()
        assert not head.lost
        head.close()

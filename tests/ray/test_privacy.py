"""The Ray that a job starts is for that job alone: out of other machines' reach, and closed to who lacks its token."""

import os
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
import ray
from ray.core.generated.gcs_service_pb2 import InternalKVKeysReply, InternalKVKeysRequest

pytestmark = pytest.mark.usefixtures("cluster")

LISTENS = "0A"  # in /proc/net/tcp


@ray.remote
def pid():
    return os.getpid()


def of_this_run():
    """Return this process and all below it: Ray's servers, agents and workers."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parents[stat.parent.name] = stat.read_text().rpartition(")")[2].split()[1]
    found, new = set(), {str(os.getpid())}
    while new:
        found |= new
        new = {child for child, parent in parents.items() if parent in new} - found
    return found


def listening(processes):
    """Return [(address, port)] of all sockets of these processes at which something may knock."""
    at = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == LISTENS:
                address, _, port = local.partition(":")
                words = [bytes.fromhex(address)[n : n + 4][::-1] for n in range(0, len(address) // 2, 4)]
                at[f"socket:[{rest[5]}]"] = (ip_address(b"".join(words)), int(port, 16))
    found = []
    for process in processes:
        for link in Path(f"/proc/{process}/fd").glob("*"):
            with suppress(OSError):  # it was closed meanwhile
                found.append(at.get(str(link.readlink())))
    return [one for one in found if one]


def is_loopback(address):
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux lists its sockets there")
def test_nothing_listens_where_another_machine_could_knock():
    worker = ray.get(pid.remote())
    processes = of_this_run()
    assert str(worker) in processes
    found = listening(processes)
    assert len(found) >= 5  # the servers of the cluster and the node, the driver, an agent, a worker
    assert [f"{address}:{port}" for address, port in found if not is_loopback(address)] == []


def keys(token):
    """Ask the cluster's server what is in its store, as any process of this machine may."""
    metadata = [("authorization", f"Bearer {token}")] if token else None
    with grpc.insecure_channel(ray.get_runtime_context().gcs_address) as channel:
        ask = channel.unary_unary(
            "/ray.rpc.InternalKVGcsService/InternalKVKeys",
            request_serializer=InternalKVKeysRequest.SerializeToString,
            response_deserializer=InternalKVKeysReply.FromString,
        )
        return list(ask(InternalKVKeysRequest(prefix=b"", namespace=b""), metadata=metadata, timeout=10).results)


@pytest.mark.parametrize("token", ["", "0" * 64])
def test_who_lacks_the_token_is_refused(token):
    assert keys(os.environ["RAY_AUTH_TOKEN"])
    with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
        keys(token)

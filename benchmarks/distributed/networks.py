"""Published latencies and bandwidths of networks, between processes of two machines."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NETWORKS", "Network"]


class Network(NamedTuple):
    """What a message costs.

    Attributes
    ----------
    latency : float
        Seconds of a short message, one way.
    bandwidth : float
        Bytes a second, one way.
    source : str
        Where both were published.
    """

    latency: float
    bandwidth: float
    source: str


_TCP = (
    "http://blogs.scalablelogic.com/2014/01/enhanced-networking-in-aws-cloud-part-2.html: "
    "92 to 100 us there and back, over 95 % of the line"
)
_ETHERNET = (
    "https://news-blogs.cisco.com/performance/mpi-over-40gb-ethernet: "
    "1.93 us and 93 % of the line, measured at 40 Gbit/s past the kernel"
)
_HDR = "https://docs.azure.cn/en-us/virtual-machines/hbv3-performance: 1.2 us, 192 Gbit/s"
_NDR = (
    "https://github.com/MicrosoftDocs/azure-docs/blob/main/articles/virtual-machines/hbv4-performance.md: "
    "below 2 us, 400 Gbit/s"
)

#: By name, from the slowest to the fastest.
NETWORKS = {
    "10 Gbit Ethernet, TCP": Network(48e-6, 0.95 * 10e9 / 8, _TCP),
    "25 Gbit Ethernet, RDMA": Network(1.93e-6, 0.93 * 25e9 / 8, _ETHERNET),
    "100 Gbit Ethernet, RDMA": Network(1.93e-6, 0.93 * 100e9 / 8, _ETHERNET),
    "200 Gbit InfiniBand (HDR)": Network(1.2e-6, 192e9 / 8, _HDR),
    "400 Gbit InfiniBand (NDR)": Network(2.0e-6, 400e9 / 8, _NDR),
}

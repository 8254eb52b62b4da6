"""Sends an ICMP echo to an address without a right, and waits for the answer."""

import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as echo:
    echo.settimeout(10)
    for _ in range(3):
        echo.sendto(b"\x08\0\0\0\0\0\0\1abcdefgh", (sys.argv[1], 0))
        try:
            answer, (peer, _) = echo.recvfrom(100)
        except TimeoutError:
            continue
        print("answered by", peer, answer[-8:].decode())
        break

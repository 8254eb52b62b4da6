# What the tests of published ports talk to; ready when it says so.
import asyncio
import socket
import struct
import sys


async def count(reader, writer):
    """Hears all, then says how much that was."""
    data = await reader.read()
    writer.write(b"%d\n" % len(data))


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def flood(reader, writer):
    """Says more than anybody wants to hear."""
    while True:
        writer.write(bytes(65536))
        await writer.drain()


async def reset(reader, writer):
    await reader.read(1)
    writer.write(b"last words")
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def tell(reader, writer):
    """Tells on its standard output how a connection ends."""
    print("begun", flush=True)
    try:
        while await reader.read(65536):
            pass
        print("end of file", flush=True)
    except ConnectionResetError:
        print("reset", flush=True)


async def peer(reader, writer):
    """Says whom it takes the client for."""
    writer.write(("%s %d\n" % writer.get_extra_info("peername")[:2]).encode())


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        self.transport.sendto(("%s %d " % peer[:2]).encode() + data, peer)


def service(handle):
    async def serve(reader, writer):
        try:
            await handle(reader, writer)
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            pass

    return serve


async def main(host):
    for port, handle in enumerate([count, echo, flood, reset, tell, peer], 7001):
        # asyncio's :: is without IPv4, and its None is both.
        both = None if host == "::" else host
        await asyncio.start_server(service(handle), both, port, backlog=4096)
    await asyncio.get_running_loop().create_datagram_endpoint(
        Datagrams, local_addr=(host, 7007))
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "0.0.0.0"))

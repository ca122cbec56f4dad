"""A client in a container. Each argument is a JSON object: one connection with its requests; one line of JSON is said of each."""
import http.client
import json
import socket
import ssl
import sys


def one(wish):
    port = wish.get("port", 443 if wish.get("tls") else 80)
    if wish.get("udp"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.sendto(b"x", (wish["to"], port))
        return ["sent"]
    address = socket.getaddrinfo(wish["to"], port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    sock.settimeout(20)
    if "from" in wish:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", wish["from"]))
    sock.connect(address[4])
    if wish.get("tls"):
        context = ssl.create_default_context(cafile=wish.get("bundle"))
        sock = context.wrap_socket(sock, server_hostname=wish["tls"])
    connection = http.client.HTTPConnection(wish.get("host", wish["to"]), port)
    connection.sock = sock
    said = []
    for method, path, *rest in wish["requests"]:
        body = b"a" * rest[0] if rest else None
        connection.request(method, path, body=body, headers={"Host": wish.get("host", wish["to"])})
        response = connection.getresponse()
        text = response.read()
        said.append([response.status, len(text) if len(text) > 1000 else text.decode().strip()])
    return said


for argument in sys.argv[1:]:
    try:
        said = one(json.loads(argument))
    except OSError as error:
        said = [type(error).__name__, error.errno if not isinstance(error, ssl.SSLError) else None]
    except http.client.HTTPException as error:
        said = [type(error).__name__]
    print(json.dumps(said), flush=True)

"""A seccomp agent: takes listeners at a UNIX socket, prints what came with each, and prints and answers every call that is put to it.

usage: agent.py SOCKET [NUMBER=ERRNO...]: these calls fail with that error, all others are let through. A line of JSON each.
"""
import array, fcntl, json, os, socket, struct, sys, threading

# linux/seccomp.h, for machines with 64 bits
NOTIF, RESPONSE = 80, 24
RECV, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1


def say(**what):
    print(json.dumps(what), flush=True)


def answer(listener, errors):
    while True:
        notif = bytearray(NOTIF)
        try:
            fcntl.ioctl(listener, RECV, notif)
        except OSError as error:
            if error.errno in (2, 4):  # ENOENT, EINTR: the caller is gone
                continue
            return
        id, pid, _, number = struct.unpack_from("=QIIi", notif)
        say(call=number, pid=pid)
        response = struct.pack("=QqiI", id, 0, -errors.get(number, 0), 0 if number in errors else CONTINUE)
        try:
            fcntl.ioctl(listener, SEND, response)
        except OSError as error:
            if error.errno != 2:
                raise


def serve(connection, errors):
    data, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(4 * 4))
    fds = array.array("i")
    for _, _, content in ancillary:
        fds.frombytes(content)
    while chunk := connection.recv(1 << 16):
        data += chunk
    say(message=data.decode(), fds=len(fds))
    for fd in fds:
        threading.Thread(target=answer, args=(fd, errors), daemon=True).start()


def main(path, *answers):
    errors = {int(number): int(error) for number, error in (pair.split("=") for pair in answers)}
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    say(ready=os.getpid())
    while True:
        serve(server.accept()[0], errors)


main(*sys.argv[1:])

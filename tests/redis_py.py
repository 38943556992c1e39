"""What a redis-py user does, through one node, and what another node then sees."""

import sys

import redis


def client(addr, **options):
    host, port = addr.rsplit(":", 1)
    return redis.Redis(host=host, port=int(port), socket_timeout=10, **options)


def check(found, expected):
    assert found == expected, f"{found!r}, expected {expected!r}"


def speak(near, far, protocol):
    key = f"py{protocol}"
    binary = bytes(range(256))
    near.delete(key, f"{key}:n", f"{key}:w")
    check(near.set(key, binary), True)
    check(near.get(key), binary)
    check(far.get(key), binary)
    check(near.get("missing"), None)
    check(near.set(key, "other", nx=True), None)
    check(near.mset({f"{key}:a": "1", f"{key}:b": "2"}), True)
    check(near.mget(f"{key}:a", "missing", f"{key}:b"), [b"1", None, b"2"])
    check(sorted(near.scan_iter(match=f"{key}:[ab]")), [f"{key}:a".encode(), f"{key}:b".encode()])
    check(near.client_getname(), None)
    check(near.info("server")["redis_version"], "7.2.4")


def pipelines(near, far, protocol):
    key = f"py{protocol}:n"
    plain = near.pipeline(transaction=False)
    for _ in range(500):
        plain.incr(key)
    check(plain.execute(), list(range(1, 501)))
    check(far.get(key), b"500")
    whole = near.pipeline(transaction=True)
    whole.set(key, 1).incr(key).get(key)
    check(whole.execute(), [True, 2, b"2"])
    mixed = near.pipeline(transaction=False)
    mixed.set(key, "text").incr(key).get(key)
    results = mixed.execute(raise_on_error=False)
    assert isinstance(results[1], redis.ResponseError), results
    check([results[0], results[2]], [True, b"text"])


def watching(near, far, protocol):
    key = f"py{protocol}:w"
    near.set(key, "1")
    with near.pipeline() as watcher:
        watcher.watch(key)
        check(watcher.get(key), b"1")
        watcher.multi()
        watcher.set(key, "2")
        check(watcher.execute(), [True])
    with near.pipeline() as watcher:
        watcher.watch(key)
        far.set(key, "theirs")
        watcher.multi()
        watcher.set(key, "mine")
        try:
            watcher.execute()
            raise AssertionError("a change through another node went unnoticed")
        except redis.WatchError:
            pass
    check(near.get(key), b"theirs")

    def append(watcher):
        value = watcher.get(key)
        watcher.multi()
        watcher.set(key, value + b"!")

    check(near.transaction(append, key), [True])
    check(far.get(key), b"theirs!")


def main():
    default, other = client(sys.argv[1]), client(sys.argv[2])
    for protocol in (2, 3):
        near = client(sys.argv[1], protocol=protocol)
        far = client(sys.argv[2], protocol=protocol)
        speak(near, far, protocol)
        pipelines(near, far, protocol)
        watching(near, far, protocol)
    speak(default, other, "default")
    hello = default.execute_command("HELLO", 3)
    hello = {k if isinstance(k, str) else k.decode(): v for k, v in hello.items()}
    check(hello["proto"], 3)
    try:
        default.execute_command("NONSENSE")
        raise AssertionError("an unknown command was accepted")
    except redis.ResponseError as error:
        assert "unknown command" in str(error), error
    check(default.ping(), True)
    print("all is well")


main()

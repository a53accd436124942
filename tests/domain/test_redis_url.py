"""All forms of the URL of a Redis, and all that is none."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.redis_url import RedisTarget, is_redis, parse_redis_url


def target(url: str) -> RedisTarget:
    """Parse."""
    return parse_redis_url(url)


class FormTests(SynchronousTestCase):
    """What a URL may look like."""

    def test_is_redis(self) -> None:
        """Four schemes are Redis, the others of the option are not."""
        for url in ("redis://h", "rediss://h", "unix:///s", "redis+sentinel://h/g"):
            self.assertTrue(is_redis(url), url)
        for url in ("sqlite:", "memory:", "redis:h", "http://h", "xredis://h", ""):
            self.assertFalse(is_redis(url), url)

    def test_tcp(self) -> None:
        """Host, port and number have defaults; TLS is told by the scheme."""
        for url, servers, database, tls in (
            ("redis://h", ("h", 6379), 0, False),
            ("redis://h/", ("h", 6379), 0, False),
            ("redis://h:7000", ("h", 7000), 0, False),
            ("redis://h/3", ("h", 6379), 3, False),
            ("rediss://h:7000/15", ("h", 7000), 15, True),
            ("redis://[::1]:7000/1", ("::1", 7000), 1, False),
            ("redis://[::1]", ("::1", 6379), 0, False),
            ("redis://h:0", ("h", 0), 0, False),
        ):
            found = target(url)
            self.assertEqual(
                (found.servers, found.database, found.tls, found.path, found.master),
                ((servers,), database, tls, "", ""),
                url,
            )
            self.assertEqual((found.username, found.password), (None, None), url)

    def test_login(self) -> None:
        """User and password, either alone, with percent signs decoded."""
        for login, username, password in (
            ("me:word@", "me", "word"),
            (":word@", None, "word"),
            ("me@", "me", None),
            ("me:@", "me", None),
            ("@", None, None),
            ("m%40e:w%3Ao%2Fr%25d@", "m@e", "w:o/r%d"),
            ("me:a:b@", "me", "a:b"),
            ("me:a@b@", "me", "a@b"),
            (":a/b?c#d@", None, "a/b?c#d"),
        ):
            for rest in ("redis://{}h", "unix://{}/s", "redis+sentinel://{}h/g"):
                found = target(rest.format(login))
                self.assertEqual((found.username, found.password), (username, password), login)

    def test_socket(self) -> None:
        """A path, and the number as an option."""
        found = target("unix:///run/redis/socket?db=4")
        self.assertEqual((found.path, found.database, found.servers), ("/run/redis/socket", 4, ()))
        self.assertEqual(target("unix:///s").database, 0)

    def test_sentinel(self) -> None:
        """Several hosts with ports of Sentinels, a group, a number."""
        found = target("redis+sentinel://:w@a,b:5,[::1]:6/my-group.1/2")
        self.assertEqual(found.servers, (("a", 26379), ("b", 5), ("::1", 6)))
        self.assertEqual((found.master, found.database, found.password), ("my-group.1", 2, "w"))
        self.assertEqual(target("redis+sentinel://a/g/").database, 0)


class ErrorTests(SynchronousTestCase):
    """What is none: the text goes on after the name of the option."""

    def test_errors(self) -> None:
        """Each says what is wrong, and shows no password."""
        for url, text in (
            ("http://:secret@h", "begins with none of redis, rediss, unix, redis\\+sentinel"),
            ("redis://:secret@", "names no host"),
            ("redis://:secret@:6379", "names no host"),
            ("redis://:secret@/3", "names no host"),
            ("redis://:secret@h:secret", "has no port where one belongs"),
            ("redis://:secret@h:70000", "has no port where one belongs"),
            ("redis://:secret@h:-1", "has no port where one belongs"),
            ("redis://:secret@[::1", "names no host"),
            ("redis://me:secret", "has no port where one belongs"),
            ("redis://:secret@h/secret", "has no number where that of the database"),
            ("redis://:secret@h/-1", "has no number where that of the database"),
            ("redis://:secret@h/123456", "has no number where that of the database"),
            ("redis://:secret@h/1/secret", "goes on after the number"),
            ("redis://:secret@h/1?secret", "goes on after the number"),
            ("redis://:secret@h#secret", "goes on after the number"),
            ("redis://a,b", "names several hosts"),
            ("redis://h h", "names no host"),
            ("unix://:secret@secret", "names no path that begins with /"),
            ("unix://", "names no path that begins with /"),
            ("unix:///s?db=secret", "has no number where that of the database"),
            ("unix:///s?secret=1", "has an option that is not db"),
            ("unix:///s?secret", "has an option that is not db"),
            ("unix:///s?db=1&db=2", "has an option that is not db"),
            ("unix:///s#secret", "goes on after"),
            ("redis+sentinel://:secret@h", "names no group"),
            ("redis+sentinel://:secret@h/", "names no group"),
            ("redis+sentinel://h/se cret", "names no group"),
            ("redis+sentinel://h,/g", "names no host"),
            ("redis+sentinel://h/g/x", "has no number"),
            ("redis+sentinel://h/g/1/2", "goes on after"),
            ("redis", "begins with none of"),
        ):
            with self.assertRaisesRegex(ValueError, f"^{text}") as raised:
                target(url)
            self.assertNotIn("secret", str(raised.exception), url)


class SecretTests(SynchronousTestCase):
    """The password is in no text."""

    def test_shown(self) -> None:
        """``shown`` and ``repr`` have stars in its place."""
        for url, shown in (
            ("redis://me:secret@h:1/2", "redis://me:***@h:1/2"),
            ("rediss://:secret@h", "rediss://:***@h"),
            ("redis://h", "redis://h"),
            ("redis://me@h", "redis://me@h"),
            ("redis://me:a@secret@h", "redis://me:***@h"),
            ("unix://:secret@/s?db=1", "unix://:***@/s?db=1"),
            ("redis+sentinel://u:secret@a,b/g", "redis+sentinel://u:***@a,b/g"),
        ):
            found = target(url)
            self.assertEqual(found.shown, shown)
            self.assertNotIn("secret", repr(found))

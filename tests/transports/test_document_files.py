"""Files of this machine that are documents, and those that are none."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.document_urls import MAX_DOCUMENT_BYTES, ApplicationRefused
from gms_twisted.app.orchestration import ApplicationUnusable
from gms_twisted.transports.document_files import DocumentFolders, read_document
from tests.transports.test_watched_file import PoolReactor


class ReadTests(SynchronousTestCase):
    """What may be read."""

    def setUp(self) -> None:
        """Make two folders with a file each; one may be read."""
        self.top = Path(self.mktemp()).absolute()
        self.inside, self.outside = self.top / "inside", self.top / "outside"
        for folder in (self.inside, self.outside):
            (folder / "deep").mkdir(parents=True)
            (folder / "a.scxml").write_bytes(folder.name.encode())
            (folder / "deep" / "b.scxml").write_bytes(b"deep " + folder.name.encode())

    def read(self, path: Path | str) -> bytes:
        """Read below the one folder."""
        return read_document(str(path), ["/nonexistent", str(self.inside)])

    def refused(self, path: Path | str) -> None:
        """See it refused, with the option that would allow it."""
        error = self.assertRaises(ApplicationRefused, self.read, path)
        self.assertIn("ors/document_roots", str(error))

    def unusable(self, path: Path | str) -> str:
        """See it fail, and not for its place."""
        error = self.assertRaises(ApplicationUnusable, self.read, path)
        self.assertNotIsInstance(error, ApplicationRefused)
        return str(error)

    def test_below(self) -> None:
        """What is below a folder is read, at any depth."""
        self.assertEqual(self.read(self.inside / "a.scxml"), b"inside")
        self.assertEqual(
            self.read(self.inside / "deep" / ".." / "deep" / "b.scxml"), b"deep inside"
        )

    def test_X04_elsewhere(self) -> None:
        """What is not is refused, whichever way its path goes."""
        (self.top / "inside.scxml").write_bytes(b"x")
        (self.top / "inside2").mkdir()
        (self.top / "inside2" / "a.scxml").write_bytes(b"x")
        for path in (
            self.outside / "a.scxml",
            self.inside / ".." / "outside" / "a.scxml",
            self.top / "inside.scxml",
            self.top / "inside2" / "a.scxml",
            "/etc/passwd",
            "/proc/self/environ",
            "/",
        ):
            self.refused(path)

    def test_X04_symlinks(self) -> None:
        """Links lead out of no folder: not one that is the file, nor one on the way."""
        (self.inside / "file").symlink_to(self.outside / "a.scxml")
        (self.inside / "folder").symlink_to(self.outside)
        (self.inside / "up").symlink_to("..")
        (self.inside / "twice").symlink_to("file")
        for path in (
            "file",
            "folder/a.scxml",
            "folder/deep/b.scxml",
            "up/outside/a.scxml",
            "twice",
        ):
            self.refused(self.inside / path)

    def test_symlinks_within(self) -> None:
        """Those that stay within are followed, and the folder may be one itself."""
        (self.inside / "file").symlink_to("deep/b.scxml")
        (self.inside / "folder").symlink_to(self.inside / "deep")
        (self.outside / "in").symlink_to(self.inside)
        self.assertEqual(self.read(self.inside / "file"), b"deep inside")
        self.assertEqual(self.read(self.inside / "folder" / "b.scxml"), b"deep inside")
        self.assertEqual(self.read(self.outside / "in" / "a.scxml"), b"inside")
        link = self.top / "link"
        link.symlink_to(self.inside)
        self.assertEqual(read_document(str(link / "a.scxml"), [str(link)]), b"inside")

    def test_X04_link_made_meanwhile(self) -> None:
        """A link that comes between looking and opening is not followed."""
        real = os.path.realpath

        def slow(path: str) -> str:
            found = real(path)
            if path.endswith("b.scxml"):
                (self.inside / "deep").rename(self.inside / "was")
                (self.inside / "deep").symlink_to(self.outside / "deep")
            return found

        self.patch(os.path, "realpath", slow)
        self.assertIn("cannot be read", self.unusable(self.inside / "deep" / "b.scxml"))

    def test_no_file(self) -> None:
        """Folders, pipes, devices, loops and names that are none are no documents."""
        os.mkfifo(self.inside / "pipe")
        (self.inside / "loop").symlink_to("loop")
        for name in ("none", "deep", "pipe", "loop", "a.scxml/b", "x" * 300, "."):
            self.assertIn("It cannot be read: ", self.unusable(self.inside / name), name)
        self.assertIn("no file's name", self.unusable(f"{self.inside}/a\0b"))
        self.assertIn("No such file", self.unusable(self.inside / "none"))

    def test_length(self) -> None:
        """A document has a bound, and one byte more is too much."""
        path = self.inside / "long"
        path.write_bytes(b"x" * MAX_DOCUMENT_BYTES)
        self.assertEqual(len(self.read(path)), MAX_DOCUMENT_BYTES)
        path.write_bytes(b"x" * (MAX_DOCUMENT_BYTES + 1))
        self.assertEqual(self.unusable(path), "It is longer than 1048576 bytes.")

    def test_anywhere(self) -> None:
        """Where everything may be read, everything is; devices still are not."""
        self.assertEqual(
            read_document(str(self.outside / "a.scxml"), [], anywhere=True), b"outside"
        )
        self.assertRaises(ApplicationUnusable, read_document, "/dev/zero", [], anywhere=True)
        self.assertRaises(ApplicationUnusable, read_document, "/", [], anywhere=True)

    def test_descriptors(self) -> None:
        """None is left open, however it ends."""
        before = len(os.listdir("/proc/self/fd"))
        self.read(self.inside / "deep" / "b.scxml")
        self.unusable(self.inside / "deep" / "none")
        self.unusable(self.inside / "deep")
        self.refused(self.outside / "a.scxml")
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_in_a_thread(self) -> None:
        """The reactor's side reads by the same rules, which may change; stamps tell of changes."""
        folders = DocumentFolders(PoolReactor(), [str(self.inside)])
        path = str(self.outside / "a.scxml")
        self.failureResultOf(Deferred.fromCoroutine(folders.read(path)), ApplicationRefused)
        folders.reconfigure([str(self.outside)], anywhere=False)
        self.assertEqual(
            self.successResultOf(Deferred.fromCoroutine(folders.read(path))), b"outside"
        )
        folders.reconfigure([], anywhere=True)
        self.assertEqual(
            self.successResultOf(Deferred.fromCoroutine(folders.read(path))), b"outside"
        )
        stamp = folders.stamp(path)
        self.assertEqual(folders.stamp(path), stamp)
        Path(path).write_bytes(b"other text")
        self.assertNotEqual(folders.stamp(path), stamp)
        self.assertIsNone(folders.stamp(f"{path}.none"))

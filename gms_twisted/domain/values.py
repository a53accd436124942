"""What a request carries: text and uploaded files, by field name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class ByteSource(Protocol):
    """Bytes of known size that are read in pieces, from memory or a spool file."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read(self, offset: int, length: int) -> bytes:
        """Read up to ``length`` bytes from ``offset``; fewer only at the end."""

    def close(self) -> None:
        """Give back what it holds; reading is over.  May be called twice."""


@dataclass(frozen=True)
class InMemory:
    """A :class:`ByteSource` over bytes."""

    data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        """Read up to ``length`` bytes from ``offset``."""
        return self.data[offset : offset + length]

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True)
class UploadedFile:
    """A file of a multipart form.

    :ivar filename: as the client sent it: data, never a path.
    :ivar content_type: as the client sent it, or ``application/octet-stream``.
    :ivar source: the bytes, exactly as they came.
    """

    filename: str
    content_type: str
    source: ByteSource = field(repr=False)


FormValue = str | UploadedFile


@dataclass(frozen=True)
class Form:
    """Everything a request carries besides its path: query and body, merged.

    A field that occurs twice has its last value; a field of the body beats the
    same field of the query.

    :ivar fields: by name, in order of first appearance.
    :ivar document: the body as JSON when it was JSON (also labelled as a form), else ``None``.
    :ivar content: the body as text where any text may come and it was neither, else ``None``.
    """

    fields: Mapping[str, FormValue] = field(default_factory=dict, repr=False)
    document: object = field(default=None, repr=False)
    content: str | None = field(default=None, repr=False)

    def text(self, name: str, default: str = "") -> str:
        """The text of a field; ``default`` when it is absent or a file."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else default

    def flag(self, name: str) -> bool:
        """Tell whether a field says yes: ``true``, ``True``, ``1``, ``yes`` or ``on``."""
        return self.text(name).strip().lower() in {"true", "1", "yes", "on"}

    @property
    def has_files(self) -> bool:
        """Tell whether a field is a file."""
        return any(type(value) is not str for value in self.fields.values())

    def close(self) -> None:
        """Give back the spool files of its uploads."""
        for value in self.fields.values():
            if isinstance(value, UploadedFile):
                value.source.close()

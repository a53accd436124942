"""A state chart, read: what all its sessions share, and none changes.

States stand in document order in :attr:`Document.states` and name each other by their
place there; the descendants of a state are the places after it up to ``last``.

Knows: the shape of a chart.  Does not know: XML, scripts' results, sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from gms_twisted.scxml.findings import Finding


class Dialect(Enum):
    """Which rules a document is written for."""

    W3C = "w3c"
    """The Recommendation, ``datamodel="ecmascript"``."""
    ORCHESTRATION = "orchestration"
    """The working draft of May 2009 with the orchestration product's extensions."""


class Use(Enum):
    """What a piece of script is for; the value is the letter that the bridge knows."""

    SCRIPT = "S"
    """Run as a program of its own: what it declares stays."""
    BLOCK = "B"
    """Run as a function's body: a program that declares nothing, compiled once."""
    VALUE = "X"
    CONDITION = "C"
    TEXT = "T"
    """A value as an operator reads it."""
    ASSIGN = "A"
    """``location`` and ``text``: assign one the other."""
    CREATE = "a"
    """The same, and a name that does not exist comes into being."""
    STORE = "L"
    """``text`` is a location that takes what the host hands in."""
    STORE_NEW = "l"
    DATA = "D"
    """The value of the data item ``location``."""
    ITEMS = "F"
    """An array to go over."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A piece of script.

    :ivar index: its place in :attr:`Document.sources`, under which contexts remember what
        they made of it.
    :ivar line: of the element it stands in.
    :ivar location: see :class:`Use`.
    :ivar literal: its value as JSON text if that needs no engine, else ``None``.
    :ivar tolerant: text that is no expression, or names nothing, stands for itself.
    """

    index: int
    use: Use
    text: str
    line: int
    location: str = ""
    literal: str | None = None
    tolerant: bool = False


@dataclass(frozen=True, slots=True)
class Markup:
    """XML as a value.

    :ivar tree: JSON of ``[name, {attribute: value}, [child...]]``, texts as strings.
    """

    text: str
    tree: str


@dataclass(frozen=True, slots=True)
class Inline:
    """Text that stands in the document as a value: JSON, XML or plain text.

    :ivar json: JSON text of it; of the tree, if it is XML.
    """

    json: str
    markup: Markup | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Param:
    """``<param>``, or one name of a ``namelist``."""

    name: str
    value: Source


@dataclass(frozen=True, slots=True, eq=False)
class Payload:
    """What goes with an event: ``namelist``, ``<param>``, or ``<content>``."""

    params: tuple[Param, ...] = ()
    content: Source | Inline | None = None


class Content:
    """Executable content."""

    __slots__ = ()


Block = tuple[Content, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Raise(Content):
    """``<raise>``."""

    line: int
    event: str


@dataclass(frozen=True, slots=True, eq=False)
class Script(Content):
    """``<script>``; without ``source`` what ``src`` names was not handed in."""

    line: int
    source: Source | None


@dataclass(frozen=True, slots=True, eq=False)
class Assign(Content):
    """``<assign>``: ``source`` is the whole assignment, or where ``inline`` goes."""

    line: int
    source: Source
    inline: Inline | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Log(Content):
    """``<log>``."""

    line: int
    label: str | Source
    expression: Source | None
    level: int


@dataclass(frozen=True, slots=True, eq=False)
class If(Content):
    """``<if>``; the condition of ``<else>`` is ``None``."""

    line: int
    branches: tuple[tuple[Source | None, Block], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Foreach(Content):
    """``<foreach>``."""

    line: int
    items: Source
    item: Source
    index: Source | None
    block: Block


Word = str | Source | None
"""An attribute that is text, or an expression for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Send(Content):
    """``<send>``."""

    line: int
    event: Word
    target: Word
    type: Word
    delay: Word
    send_id: str | None
    id_location: Source | None
    payload: Payload


@dataclass(frozen=True, slots=True, eq=False)
class Cancel(Content):
    """``<cancel>``."""

    line: int
    send_id: Word


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """An element inside an action."""

    element: str
    attributes: tuple[tuple[str, Source], ...]
    children: tuple[Part, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Action(Content):
    """An element of a module that starts something.

    :ivar request: where the new request's id goes.
    """

    line: int
    module: str
    element: str
    request: Source | None
    attributes: tuple[tuple[str, Source], ...]
    params: tuple[Param, ...]
    children: tuple[Part, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Response(Content):
    """``<ws:response>``."""

    line: int
    request: Source | None
    type: Source | None
    result: Source | None
    params: tuple[Param, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """``<data>``.

    :ivar expression: its value, of use :attr:`Use.DATA`.
    :ivar parameter: comes from the start parameters or does not exist.
    :ivar missing: ``src`` names what was not handed in.
    """

    line: int
    id: str
    expression: Source | None = None
    inline: Inline | None = None
    parameter: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Invoke:
    """``<invoke>``.

    :ivar index: in the document, for what is stored.
    :ivar content: a document (by its place in :attr:`Document.inner`) or an expression.
    :ivar finalize: ``None`` if there is none.
    :ivar locations: by parameter, what an empty ``<finalize>`` assigns.
    """

    index: int
    line: int
    type: Word
    source: Word
    id: str | None
    id_location: Source | None
    params: tuple[Param, ...]
    content: int | Source | None
    autoforward: bool
    finalize: Block | None
    locations: tuple[tuple[str, Source], ...]


Descriptor = tuple[str, ...]
"""Words of an event descriptor, the ``*`` at its end left out; ``()`` matches everything."""

NO_DOMAIN = -1
BY_HISTORY = -2


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """``<transition>``, and the ones inside ``<initial>`` and ``<history>``.

    :ivar events: ``None`` for an eventless one.
    :ivar domain: the state whose descendants it leaves; :data:`NO_DOMAIN` without target,
        :data:`BY_HISTORY` if that depends on what a history state remembers.
    """

    index: int
    line: int
    source: int
    events: tuple[Descriptor, ...] | None
    condition: Source | None
    targets: tuple[int, ...]
    internal: bool
    block: Block
    domain: int = NO_DOMAIN


class StateKind(Enum):
    """What an element is among the states."""

    ROOT = "scxml"
    STATE = "state"
    PARALLEL = "parallel"
    FINAL = "final"
    SHALLOW = "shallow history"
    DEEP = "deep history"


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A state, or the document itself at place 0.

    :ivar ancestors: from its parent to the document.
    :ivar children: proper states among them; ``histories`` the others.
    :ivar initial: of a compound state; of a history its default.
    """

    index: int
    line: int
    id: str
    kind: StateKind
    ancestors: tuple[int, ...]
    last: int
    children: tuple[int, ...] = ()
    histories: tuple[int, ...] = ()
    initial: Transition | None = None
    transitions: tuple[Transition, ...] = ()
    onentry: tuple[Block, ...] = ()
    onexit: tuple[Block, ...] = ()
    invokes: tuple[Invoke, ...] = ()
    data: tuple[Data, ...] = ()
    done_data: Payload | None = None

    @property
    def atomic(self) -> bool:
        """Has no states inside."""
        return not self.children

    @property
    def compound(self) -> bool:
        """One of its children is active at a time."""
        return bool(self.children) and self.kind is not StateKind.PARALLEL

    @property
    def history(self) -> bool:
        """Is no state, but remembers some."""
        return self.kind in (StateKind.SHALLOW, StateKind.DEEP)


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A state chart.

    :ivar url: where it is from; what it names is relative to it.
    :ivar digest: of its bytes (and of what it includes), hexadecimal.
    :ivar text: what it was read from, and ``included`` what was handed in with it, by URL.
    :ivar includes: URLs of ``src`` attributes whose text was not handed in.
    :ivar inner: documents that stand in ``<invoke>``.
    :ivar scripts: those of the document itself.
    :ivar remakes: running ``scripts`` in a new context gives the functions they gave before.
    :ivar asks_states: a script may call ``In()``.
    :ivar watched: global names of the engine's own that scripts mention.
    """

    url: str
    name: str
    dialect: Dialect
    digest: str
    states: tuple[State, ...] = field(repr=False)
    sources: tuple[Source, ...] = field(repr=False)
    scripts: tuple[Script, ...] = field(repr=False)
    late_binding: bool = False
    inner: tuple[Document, ...] = field(default=(), repr=False)
    includes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    remakes: bool = False
    asks_states: bool = True
    watched: tuple[str, ...] = ()
    by_id: Mapping[str, int] = field(default_factory=dict, repr=False)
    candidates: dict[tuple[int, str | None], tuple[Transition, ...]] = field(
        default_factory=dict, repr=False
    )
    entries: dict[int, tuple[tuple[int, ...], frozenset[int]]] = field(
        default_factory=dict, repr=False
    )
    """What was worked out once: transitions by state and event name, states that a
    transition enters.  Filled by ``selection``."""
    text: bytes = field(default=b"", repr=False)
    included: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def invokes(self) -> tuple[Invoke, ...]:
        """All of them, in document order."""
        return tuple(invoke for state in self.states for invoke in state.invokes)

"""Reading documents: what is refused, what is noted.

Hardening X07.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.loader import (
    MAX_ATTRIBUTES,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_EQUALS,
    MAX_TAGS,
    DocumentError,
    load_document,
)
from gms_twisted.scxml.model import Document, StateKind
from tests.support.charts import OLD, URL, W3C, old, w3c


def lines(text: str, head: str = W3C) -> bytes:
    """A document whose inside begins on line 2."""
    return f"{head}>\n{text}\n</scxml>".encode()


class RefusedTests(SynchronousTestCase):
    """What cannot be run is refused, with its line."""

    def assert_refused(self, data: bytes, line: int, words: str) -> None:
        """It is, there and for that."""
        exc = self.assertRaises(DocumentError, load_document, data, URL)
        self.assertEqual(exc.line, line)
        self.assertIn(words, exc.message)

    def test_structure(self) -> None:
        """Unknown targets, ids that are there twice, initial states elsewhere."""
        for text, line, words in (
            ('<state id="a">\n<transition target="b"/></state>', 3, "no state 'b'"),
            ('<state id="a"/>\n<state id="a"/>', 3, "'a' is there twice"),
            ('<state id="a" initial="b"><state id="c"/></state>\n<state id="b"/>', 2, "not inside"),
            ('<state id="a" initial="x"><state id="c"/></state>', 2, "no state 'x'"),
            (
                '<state id="a"><initial>\n<transition target="b"/></initial><state id="c"/></state>'
                '<state id="b"/>',
                3,
                "not inside",
            ),
            (
                '<state id="a"><history id="h">\n<transition target="a"/></history><state id="b"/>'
                "</state>",
                3,
                "no default",
            ),
            ('<final id="f">\n<state id="a"/></final>', 3, "no states"),
            ("<datamodel><data/></datamodel><state/>", 2, "no id"),
            ("<state><onentry>\n<if/></onentry></state>", 3, "no cond"),
            ("<state><onentry>\n<else/></onentry></state>", 3, "outside <if>"),
            ('<state><onentry>\n<assign expr="1"/></onentry></state>', 3, "no location"),
            ("", 1, "no state"),
        ):
            with self.subTest(text=text):
                self.assert_refused(lines(text), line, words)

    def test_initial_of_the_document(self) -> None:
        """The document's initial state must exist."""
        self.assert_refused(lines("<state id='a'/>", W3C + ' initial="b"'), 1, "no state 'b'")

    def test_cyclic_invoke(self) -> None:
        """A document that invokes itself is refused."""
        for name in ("chart.scxml", URL, "../app/chart.scxml"):
            text = f'<state id="a">\n<invoke src="{name}"/></state>'
            self.assert_refused(lines(text), 3, "invokes itself")

    def test_document_types(self) -> None:
        """Document types and entities are refused, wherever they lead."""
        for head, line in (
            ("<!DOCTYPE scxml>\n", 1),
            ('\n<!DOCTYPE scxml SYSTEM "file:///etc/passwd">\n', 2),
            ('<!DOCTYPE scxml [<!ENTITY a "b">]>\n', 1),
            ('<!DOCTYPE scxml [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n', 1),
        ):
            with self.subTest(head=head):
                data = head.encode() + lines("<state id='a'/>")
                self.assert_refused(data, line, "document type")

    def test_many_entities(self) -> None:
        """Entities within entities cost nothing."""
        entities = '<!ENTITY a0 "xxxxxxxxxx">' + "".join(
            f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 20)
        )
        data = f"<!DOCTYPE scxml [{entities}]>\n".encode() + lines("<state id='a'>&a19;</state>")
        self.assertRaises(DocumentError, load_document, data, URL)

    def test_sizes(self) -> None:
        """1 MiB and 200 levels can be read, more is refused."""
        text = lines("<state id='a'/>")
        full = text + b" " * (MAX_BYTES - len(text))
        self.assertEqual(len(load_document(full, URL).states), 2)
        self.assertRaises(DocumentError, load_document, full + b" ", URL)
        self.assertRaises(DocumentError, load_document, text + b" " * 10_000_000, URL)
        deepest = MAX_DEPTH - 1
        deep = "<state>" * deepest + "</state>" * deepest
        self.assertEqual(len(load_document(lines(deep), URL).states), deepest + 1)
        self.assert_refused(lines(f"<state>{deep}</state>"), 2, "deeper")

    def test_many_parts(self) -> None:
        """5,000 elements and 100 attributes of one can be read, more is refused."""
        for count, fits in ((MAX_ATTRIBUTES, True), (MAX_ATTRIBUTES + 1, False)):
            names = " ".join(f"x{number}=''" for number in range(count))
            data = lines(f"<state>\n<onentry><log {names}/></onentry></state>")
            if fits:
                load_document(data, URL)
            else:
                self.assert_refused(data, 3, "100 attributes")
        states = "\n<state/>" * (MAX_ELEMENTS - 1)
        self.assertEqual(len(load_document(lines(states), URL).states), MAX_ELEMENTS)
        self.assert_refused(lines(states + "<state/>"), MAX_ELEMENTS + 1, "5000 elements")

    def test_too_many_names(self) -> None:
        """What would fill memory with names is refused before it is parsed."""
        names = " ".join(f"x{number}=''" for number in range(MAX_EQUALS))
        self.assert_refused(lines(f"<state {names}/>"), 0, "too many attributes")
        self.assert_refused(lines("<a/>" * MAX_TAGS), 0, "too many tags")

    def test_deep_content(self) -> None:
        """Executable content is nested less deep than elements may be."""
        for depth, fits in ((64, True), (65, False)):
            content = "<if cond='1'>" * depth + "</if>" * depth
            data = lines(f"<state><onentry>{content}</onentry></state>")
            if fits:
                load_document(data, URL)
            else:
                self.assertRaises(DocumentError, load_document, data, URL)

    def test_no_charts(self) -> None:
        """Other XML, other data models, and what is no XML."""
        for data, words in (
            (b"<html/>", "not scxml"),
            (b"", ""),
            (b"text", ""),
            (b"\x00\x01", ""),
            (lines("<state/>", W3C.replace("ecmascript", "xpath")), "no data model"),
            (lines("<state/>", W3C.replace("www.w3.org/2005/07", "x")), "not scxml"),
        ):
            with self.subTest(data=data[:20]):
                exc = self.assertRaises(DocumentError, load_document, data, URL)
                self.assertIn(words, exc.message)


class FindingTests(SynchronousTestCase):
    """What looks wrong is told, with its line, and does not keep a document from running."""

    def told(self, text: str, head: str = W3C) -> list[tuple[int, str]]:
        """What is told of a document."""
        found = load_document(lines(text, head), URL).findings
        return [(finding.line, finding.text) for finding in found]

    def test_nothing(self) -> None:
        """Of a document in order nothing is told."""
        text = (
            '<state id="a"><onentry><send event="e" delay="1s"/><script>var x = 1</script>'
            '</onentry><transition event="e" cond="x" target="b"/></state><final id="b"/>'
        )
        self.assertEqual(self.told(text), [])

    def test_unreachable(self) -> None:
        """States that no transition leads to."""
        text = (
            '<state id="a"><transition event="e" target="c1"/></state>\n<state id="b"/>\n'
            '<state id="c"><state id="c0"/><state id="c1"/>\n<state id="c2"/></state>'
        )
        self.assertEqual(
            self.told(text),
            [(3, "no transition leads to state 'b'"), (5, "no transition leads to state 'c2'")],
        )

    def test_endless(self) -> None:
        """A transition without event, condition and target is taken for ever."""
        self.assertEqual(
            self.told('<state id="a">\n<transition/></state>'),
            [(3, "this transition would be taken for ever")],
        )

    def test_scripts(self) -> None:
        """Scripts and expressions that do not compile, by line."""
        text = (
            '<state id="a"><onentry>\n<script>\nvar x = 1;\nvar y = ;\n</script>\n'
            '<assign location="1 + 1" expr="2"/>\n<log expr="a b"/>\n</onentry>\n'
            '<transition event="e" cond="(" /></state>'
        )
        self.assertEqual([line for line, _ in self.told(text)], [5, 7, 8, 10])

    def test_words_are_no_scripts(self) -> None:
        """In the dialect, attributes that may be words are none."""
        text = (
            '<state id="a"><onentry><queue:submit requestid="x"><queue:targets>'
            '<queue:target name="a b"/></queue:targets></queue:submit></onentry></state>'
        )
        self.assertEqual(self.told(text, OLD), [])

    def test_elements(self) -> None:
        """Elements that nothing is known of, of SCXML and of known modules."""
        inside = "\n<foo/>\n<queue:submitt/>\n<service:reserve/>"
        text = f'<state id="a"><onentry>{inside}</onentry></state>'
        self.assertEqual(
            self.told(text, OLD),
            [
                (3, "<foo> is not known, and ignored."),
                (4, "module queue has no element 'submitt'"),
            ],
        )

    def test_attributes(self) -> None:
        """Attributes that look misspelt."""
        text = (
            '<state id="a"><onentry>\n<queue:submit><queue:target statsserver="x"/></queue:submit>'
            '\n<send evnt="x"/></onentry>\n<transition event="x" colour="red"/></state>'
        )
        self.assertEqual(
            self.told(text, OLD),
            [
                (3, "<target> has no attribute 'statsserver', 'statserver' perhaps"),
                (4, "<send> has no attribute 'evnt', 'event' perhaps"),
                (5, "<transition> has no attribute 'colour'"),
            ],
        )

    def test_delays(self) -> None:
        """By the Recommendation, a delay needs a unit."""
        text = '<state id="a"><onentry>\n<send event="e" delay="5"/></onentry></state>'
        self.assertEqual(self.told(text), [(3, "'5' is no delay: a number and s or ms")])
        self.assertEqual(self.told(text, OLD), [])

    def test_bounded(self) -> None:
        """A hundred findings are enough."""
        text = "<state id='a'/>" + "".join(f"<state id='s{n}'/>" for n in range(300))
        self.assertEqual(len(self.told(text)), 100)


class DocumentTests(SynchronousTestCase):
    """What a document is like."""

    def test_shared(self) -> None:
        """The same bytes give the same digest, others another."""
        one, two, other = w3c("<state/>"), w3c("<state/>"), w3c("<state />")
        self.assertEqual(one.digest, two.digest)
        self.assertNotEqual(one.digest, other.digest)

    def test_states(self) -> None:
        """States are in document order and know what is around and in them."""
        document: Document = w3c(
            '<state id="a"><state id="b"/><history id="h"/></state><parallel id="c"/>'
        )
        self.assertEqual([state.id for state in document.states], ["", "a", "b", "h", "c"])
        a, b, h = document.states[1:4]
        self.assertEqual((a.children, a.histories, a.last), ((2,), (3,), 3))
        self.assertEqual((b.ancestors, h.kind), ((1, 0), StateKind.SHALLOW))
        self.assertEqual(document.by_id["c"], 4)

    def test_name(self) -> None:
        """It has a name and an address."""
        document = old("<state/>", 'name="n"')
        self.assertEqual((document.name, document.url), ("n", URL))

    def test_encodings(self) -> None:
        """Encodings are as XML says."""
        head = '<?xml version="1.0" encoding="{}"?>' + W3C + ' name="\u00e4"><state/></scxml>'
        for encoding in ("utf-8", "iso-8859-1", "utf-16"):
            document = load_document(head.format(encoding).encode(encoding), URL)
            self.assertEqual(document.name, "\u00e4")

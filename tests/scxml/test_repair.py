"""Documents that were damaged on their way through a page, and what is made of them."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from gms_twisted.scxml.findings import Finding
from gms_twisted.scxml.repair import (
    MAX_DEPTH,
    MAX_FINDINGS,
    MAX_MARKUP,
    MAX_MENDED,
    USUAL_PREFIXES,
    repair,
)

MIB = 1 << 20
WHOLE = '<?xml version="1.0"?>\n<a xmlns="u">%s</a>\n'
FENCE = "```"


def canonical(text: str) -> str:
    """A document's canonical form, comments included; fails when it is not well-formed."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    root = etree.fromstring(text.encode(), parser)
    # The second version: the first refuses relative namespaces, and applications have them.
    return str(etree.canonicalize(root.getroottree(), with_comments=True))


WELL_FORMED = (
    WHOLE % "",
    WHOLE % "<b/><c></c><d  x = 'y' /><e\n  x=\"y\"\n></e\n>",
    WHOLE % '<b x="it\'s" y=\'say "hi" z="1"\' z=\'>\'/>',
    WHOLE % '<b cond="i&lt;2 &amp;&amp; j>3 &#38; &#x26; &quot;&apos;&gt;"/> &lt; &#60; > "quoted"',
    WHOLE % "<b><![CDATA[ if (a && b < c) { x = '</b>'; } <!-- --\n> _<_x ]]></b>",
    WHOLE % '<!-- <b> & </c> " _<_ \n - -> > --><?pi <x> & ?><b/>',
    WHOLE % "<script>i--\n> 0; x = _\n_<y/>;</script>",
    WHOLE % "\n_<_b/>\n  _<_b x='1'>\n</_b>",
    WHOLE % '<b:c xmlns:b="urn:b" b:d="e"><queue:submit xmlns:queue="urn:own"/></b:c>',
    WHOLE % '<\u00e9t\u00e9 \u00e0="1"/><_x/><x-y.z/>',
    WHOLE % '<state id="a"><state id="b"/></state>',
    "<!-- before --><a/><!-- after -->",
    "\ufeff<a/>",
    "<a\r\n  b='c\r\nd'>\r\n<!-- e\r\n --></a>\r\n",
)


class WellFormedTests(SynchronousTestCase):
    """What can be read stays as it is."""

    def test_own_samples(self) -> None:
        """Nothing is found in our samples, and nothing changed."""
        for text in WELL_FORMED:
            canonical(text.removeprefix("\ufeff"))
            self.assertEqual(repair(text), (text, []))

    def test_w3c_suite(self) -> None:
        """Nor in any document of the W3C's tests, when ``GMS_W3C_SUITE`` names their folder."""
        folder = os.environ.get("GMS_W3C_SUITE")
        if not folder:
            raise SkipTest("GMS_W3C_SUITE names no folder")
        seen = 0
        for path in Path(folder).rglob("*.scxml"):
            text = path.read_text(encoding="utf-8")
            mended, findings = repair(text)
            self.assertEqual((canonical(mended), findings), (canonical(text), []), path.name)
            seen += 1
        self.assertGreater(seen, 150)

    def test_document_type(self) -> None:
        """A document type is left to be refused, with all that follows."""
        text = '<!DOCTYPE a [<!ENTITY b "c">]>\n<a>& &b;'
        self.assertEqual(repair(text), (text, []))


class Damages(SynchronousTestCase):
    """How tests of one damage are written."""

    def mended(self, damaged: str, whole: str, *findings: tuple[int, str]) -> None:
        """See a damaged text made whole, and no line moved."""
        self.assertRaises(etree.XMLSyntaxError, canonical, damaged)
        text, found = repair(damaged)
        self.assertEqual(canonical(text), canonical(whole))
        self.assertEqual(found, [Finding(*one) for one in findings])
        self.assertEqual(text.count("\n"), damaged.count("\n"))

    def left(self, damaged: str) -> None:
        """See a text that stays damaged."""
        text, _ = repair(damaged)
        self.assertRaises(etree.XMLSyntaxError, canonical, text)


class CommentTests(Damages):
    """Ends of comments on two lines."""

    def test_joined(self) -> None:
        """``--``, a line end and ``>`` are an end; what follows is no comment."""
        sentence = "the end of a comment, -->, is on two lines"
        for end in ("--\n>", "--  \n\t>", "--\r\n>"):
            self.mended(
                f"<a>\n<!-- b {end}<c/><!-- d --></a>",
                "<a>\n<!-- b -->\n<c/><!-- d --></a>",
                (2, sentence),
            )

    def test_in_script(self) -> None:
        """The script around it goes on."""
        text, _ = repair("<s>x = 1;<!-- b --\n>\ny = 2;</s>")
        self.assertEqual(text, "<s>x = 1;<!-- b -->\n\ny = 2;</s>")

    def test_other_hyphens(self) -> None:
        """Hyphens elsewhere in a comment, or no end, are no damage of this kind."""
        for text in ("<a><!-- b -- c --></a>", "<a><!-- b -\n-></a>", "<a><!-- b </a>"):
            self.left(text)


class WrapMarkTests(Damages):
    """Marks of wrapped lines."""

    sentence = "the mark of a wrapped line, _<, is left out"

    def test_attribute(self) -> None:
        """One before an attribute goes."""
        self.mended(
            '<a b="c"\n _<_d="e"/>',
            '<a b="c" _d="e"/>',
            (2, self.sentence),
        )

    def test_script(self) -> None:
        """So does one at the beginning of a line of a script."""
        self.mended(
            "<a>eval('(' +\n  _<_event.data + ')');</a>",
            "<a>eval('(' +\n  _event.data + ')');</a>",
            (2, self.sentence),
        )

    def test_inside_value(self) -> None:
        """And one within a value."""
        self.mended(
            '<a b="c +\n  _<_event.data"/>',
            '<a b="c +   _event.data"/>',
            (1, "marks of wrapped lines, _<, in b are left out"),
        )

    def test_elsewhere(self) -> None:
        """Within a line it is no mark, nor is an element after an underscore."""
        self.left("<a>x = b_<_c;</a>")
        self.left("<a><b/>_<_c;</a>")
        self.mended("<a>\n_<_b/>&</a>", "<a>\n_<_b/>&amp;</a>", (2, AMPERSAND))


AMPERSAND = "& that begins no reference is taken as text"


class AmpersandTests(Damages):
    """``&`` that is no reference."""

    def test_script_and_value(self) -> None:
        """It is text in scripts and in values; a line is told once."""
        self.mended(
            "<a c=\"b && d\"\n e='&'>f && g\n&& h & i</a>",
            "<a c=\"b &amp;&amp; d\" e='&amp;'>f &amp;&amp; g\n&amp;&amp; h &amp; i</a>",
            (1, AMPERSAND),
            (2, AMPERSAND),
            (2, AMPERSAND),
            (3, AMPERSAND),
        )

    def test_references_stay(self) -> None:
        """The five entities and characters by number stay what they are."""
        self.mended(
            "<a>&lt;&gt;&amp;&apos;&quot;&#65;&#x41;&</a>",
            "<a>&lt;&gt;&amp;&apos;&quot;AA&amp;</a>",
            (1, AMPERSAND),
        )

    def test_names_that_are_no_entities(self) -> None:
        """Other names are of no entity, for there is no document type that could make them."""
        self.mended("<a>b&c;&nbsp;&#;&#x;</a>", "<a>b&amp;c;&amp;nbsp;&amp;#;&amp;#x;</a>",
                    (1, AMPERSAND))  # fmt: skip


class QuoteTests(Damages):
    """Quotes inside values."""

    sentence = "quotes inside the value of c are escaped"

    def test_pair(self) -> None:
        """A pair inside is text: what follows the last quote ends the value."""
        for after in ("/>", " />", "\n/>", ' d="e"/>', "\n d = 'e'/>", "></a>"):
            self.mended(
                f'<r>\n<a c="b == "true" "{after}</r>',
                f'<r>\n<a c="b == &quot;true&quot; "{after}</r>',
                (2, self.sentence),
            )

    def test_lost_one(self) -> None:
        """One of a pair was lost at the end: it is added."""
        self.mended('<a c="b == "true" />', '<a c="b == &quot;true&quot;" />', (1, self.sentence))
        self.mended('<a c="b\n== "true"\n d="e"/>', '<a c="b == &quot;true&quot;" d="e"/>',
                    (1, self.sentence))  # fmt: skip

    def test_before_tag(self) -> None:
        """Another tag ends it, too."""
        self.mended(
            '<a c="b == "true""\n<d/></a>',
            '<a c="b == &quot;true&quot;">\n<d/></a>',
            (1, self.sentence),
            (1, "> is missing after <a and its attributes"),
        )

    def test_no_end(self) -> None:
        """A value that nothing ends stays."""
        self.left('<a c="b></a>')
        self.left('<a c="b"d="e"f></a>')


class MissingEndTests(Damages):
    """Tags without ``>``."""

    def test_start_tag(self) -> None:
        """It is put where the tag's last word ends."""
        self.mended(
            '<a>\n<b c="false"\n <d/></b></a>',
            '<a>\n<b c="false">\n <d/></b></a>',
            (2, "> is missing after <b and its attributes"),
        )
        self.mended("<a><b<!-- c --></b></a>", "<a><b><!-- c --></b></a>",
                    (1, "> is missing after <b and its attributes"))  # fmt: skip

    def test_end_tag(self) -> None:
        """An end tag gets its own."""
        self.mended("<a><b></b\n</a>", "<a><b></b>\n</a>", (1, "> is missing after </b"))

    def test_no_tag(self) -> None:
        """``<`` of a comparison is no tag, and the document stays broken."""
        for text in ("<a>i<n; j</a>", "<a>i < 3</a>", "<a>i<3</a>", "<a><b c</a>", "<a></3></a>"):
            self.left(text)

    def test_what_comes_before_is_mended(self) -> None:
        """What is before a hopeless place is mended, so that the place is what is reported."""
        text, findings = repair("<a>&\n<queue:b/>i < 3 &</a>")
        self.assertEqual([one.line for one in findings], [1, 2])
        error = self.assertRaises(etree.XMLSyntaxError, canonical, text)
        self.assertEqual(error.lineno, 2)


class NamespaceTests(Damages):
    """Namespaces and prefixes."""

    def test_blanks(self) -> None:
        """Blanks inside a namespace go, and its line end stays in the tag."""
        self.mended(
            '<a xmlns:b="www.example.com/\n modules/b"\n c="d"><b:e/></a>',
            '<a xmlns:b="www.example.com/modules/b" c="d"><b:e/></a>',
            (1, "blanks in the value of xmlns:b are left out"),
        )

    def test_usual_prefixes(self) -> None:
        """A usual prefix that is declared nowhere is declared at the root."""
        for prefix, namespace in USUAL_PREFIXES.items():
            self.mended(
                f'<?xml version="1.0"?>\n<!-- x --><a b="c">\n<{prefix}:d {prefix}:e="f"/></a>',
                f'<!-- x --><a b="c" xmlns:{prefix}="{namespace}">\n'
                f'<{prefix}:d {prefix}:e="f"/></a>',
                (3, f"the prefix {prefix} is not declared; its usual one is taken"),
            )

    def test_root_itself(self) -> None:
        """The root may be what has it, and several are declared together."""
        text, findings = repair("<queue:a><ws:b/></queue:a>")
        self.assertEqual(
            text,
            f'<queue:a xmlns:queue="{USUAL_PREFIXES["queue"]}" xmlns:ws="{USUAL_PREFIXES["ws"]}">'
            "<ws:b/></queue:a>",
        )
        self.assertEqual(len(findings), 2)
        findings = repair("<a>\n<ws:b/>\n<ws:b/>\n</a>")[1]
        self.assertEqual([one.line for one in findings], [2])

    def test_declared_somewhere(self) -> None:
        """One that is declared somewhere, or is unusual, is left alone."""
        self.left('<a><ws:b/><c xmlns:ws="urn:c"/></a>')
        self.left("<a><other:b/></a>")
        self.left("<a><xmlns:b/></a>")


class NestingTests(Damages):
    """Elements that do not fit into each other."""

    def test_stray(self) -> None:
        """An end tag of nothing goes, after the root's end, too; its line end stays."""
        self.mended(
            "<a>\n</b\n><c/></a>\n</div>",
            "<a>\n\n<c/></a>",
            (2, "</b> closes nothing and is left out"),
            (4, "</div> closes nothing and is left out"),
        )

    def test_one_too_many(self) -> None:
        """The last of too many is what goes."""
        self.mended(
            "<r><s><t/></s></s><s/></s></r>",
            "<r><s><t/></s><s/></r>",
            (1, "</s> closes nothing and is left out"),
            (1, "</s> closes nothing and is left out"),
        )

    def test_unclosed(self) -> None:
        """What is open ends with what holds it, or with the document."""
        self.mended(
            "<a>\n<b>\n<c>\n</b><d>\n",
            "<a>\n<b>\n<c>\n</c></b><d>\n</d></a>",
            (1, "<a> is not closed"),
            (3, "<c> is not closed"),
            (4, "<d> is not closed"),
        )

    def test_second_root(self) -> None:
        """What follows the root's end cannot be mended."""
        self.left("<a></a>text")
        self.left("<a></a><b/>")


class IdTests(SynchronousTestCase):
    """Ids with blanks."""

    def test_trimmed(self) -> None:
        """Blanks around an id go; other values keep theirs."""
        text, findings = repair('<a>\n<b id=" c" x=" y "/>\n<d id=\'e\n\'/></a>')
        self.assertEqual(text, '<a>\n<b id="c" x=" y "/>\n<d id=\'e\'\n/></a>')
        sentence = "blanks around the value of id are left out"
        self.assertEqual(findings, [Finding(2, sentence), Finding(3, sentence)])


HOSTILE = (
    *("&", "&\n", "<", "<a>", "<a ", "<a/>", '<a b="c"/>', '<a:b c="d"/>', "<!---->", "<!--"),
    *("<![CDATA[", "<!--a--\n>", '"', '<a b="" " ', ' a:b="c"', "</a>", "</a <", "<?a?>"),
    *("\n_<_a", "_<_", "\n", " ", "-", "&amp;", "x", "<a><b></a>", '<a id=" x"/>', '"  '),
    *("<queue:submit/>", '<a b="x\n"x" c="y"/>', "<a b='", '<a b="x', " id=", "\x00", "<a b=c "),
)
HEADS = ("<r>", '<r a="', "<r a='", "<r ", "<r><!-- ", '<r><a b="&" ')


class BoundTests(SynchronousTestCase):
    """How much is done for a document."""

    def test_X07_hostile(self) -> None:
        """A mebibyte of anything comes to an end, and never grows by more than its repairs."""
        for unit in HOSTILE:
            for head in HEADS:
                text = head + unit * ((MIB - len(head)) // len(unit))
                mended, findings = repair(text)
                self.assertLessEqual(len(findings), MAX_FINDINGS + 1)
                self.assertLessEqual(len(mended), len(text) + 20 * MAX_MENDED)

    def bound(self, text: str, line: int, what: str) -> None:
        """See a text left as it is, for there is more than something in it."""
        sentence = f"nothing is mended: there are more than {what} up to here"
        self.assertEqual(repair(text), (text, [Finding(line, sentence)]))

    def test_markup(self) -> None:
        """So many tags are looked at, and one more is too much."""
        most = "<r>" + "\n<a/>" * (MAX_MARKUP - 3) + "&</r>"
        self.assertEqual(len(repair(most)[1]), 1)
        self.bound("<r>" + "\n<a/>" * MAX_MARKUP + "&</r>", MAX_MARKUP + 1, f"{MAX_MARKUP} tags")

    def test_changes(self) -> None:
        """So many things are mended, and one more is too much."""
        most = "<r>" + "&" * MAX_MENDED + "</r>"
        self.assertEqual(repair(most)[0].count("&amp;"), MAX_MENDED)
        self.bound("<r>\n" + "&" * (MAX_MENDED + 1) + "</r>", 1, f"{MAX_MENDED} faults")

    def test_depth(self) -> None:
        """So many elements may be in each other."""
        most = "<a>" * MAX_DEPTH
        self.assertEqual(repair(most)[0], most + "</a>" * MAX_DEPTH)
        self.bound(most + "<a>", 1, f"{MAX_DEPTH} elements within each other")

    def test_findings(self) -> None:
        """So many findings are told, and that there are more."""
        findings = repair("<r>" + "&\n" * MAX_FINDINGS + "</r>")[1]
        self.assertEqual(len(findings), MAX_FINDINGS)
        findings = repair("<r>" + "&\n" * (MAX_FINDINGS + 1) + "</r>")[1]
        self.assertEqual(findings[-1], Finding(MAX_FINDINGS, "more is mended than is listed here"))
        self.assertEqual(len(findings), MAX_FINDINGS + 1)

    @given(st.lists(st.sampled_from([*HOSTILE, *HEADS, ">", "/>", "-->", "]]>", "</r>", "b"])))
    def test_lines_stay(self, pieces: list[str]) -> None:
        """Whatever is mended, every line end is where it was."""
        text = "".join(pieces)
        mended, findings = repair(text)
        self.assertEqual(mended.count("\n"), text.count("\n"))
        lines = [one.line for one in findings]
        self.assertEqual(lines, sorted(lines))
        self.assertTrue(all(1 <= line <= text.count("\n") + 1 for line in lines))

    @given(st.lists(st.sampled_from(["<a>", "</a>", "<b>", "</b>", "<c/>", "&", "x", "\n"])))
    def test_always_whole(self, pieces: list[str]) -> None:
        """Tags in any order within a root come out well-formed."""
        canonical(repair(f"<r>{''.join(pieces)}</r>")[0])


class PrintedTests(SynchronousTestCase):
    """The samples of the reference as they are printed, when ``GMS_REFERENCE`` names its text."""

    samples = {
        "request-inbound-delay": (3438, 3840),
        "request-inbound-poll": (3847, 4114),
        "request-outbound-immediate": (4122, 4212),
    }

    def test_three_of_four(self) -> None:
        """Three become well-formed; what is mended is told with the line of the text."""
        name = os.environ.get("GMS_REFERENCE")
        if not name:
            raise SkipTest("GMS_REFERENCE names no file")
        lines = StringIO(Path(name).read_text(encoding="utf-8")).readlines()
        for sample, (first, last) in self.samples.items():
            printed = ["\n" if line.startswith(FENCE) else line for line in lines[first - 1 : last]]
            text = "".join(printed)
            self.assertRaises(etree.XMLSyntaxError, canonical, text)
            mended, findings = repair(text)
            canonical(mended)
            self.assertTrue(findings, sample)

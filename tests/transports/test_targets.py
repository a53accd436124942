"""Where requests may go: forms of URLs and addresses, and the allow list."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import TargetRefused
from gms_twisted.transports.targets import (
    AllowList,
    Policy,
    inner_addresses,
    kind_of,
    parse_target,
)

SELF = "a loopback address"
PRIVATE = "a private address"
LINK = "a link-local address"
RESERVED = "a reserved address"
NOWHERE = "an unspecified address"
MANY = "a multicast address"
FOUR = "four decimal numbers"
USER = "names a user"
SIGNS = "blanks, backslashes"
PORT = "may not be asked, only"
SCHEME = "neither http nor https"
HOST = "not a name or an address"
FORM = "must be absolute"
FRAGMENT = "fragment"
DIVISION = "not HOST or HOST:PORT"

REFUSED = {
    # Loopback in all its spellings.
    "http://127.0.0.1/": SELF,
    "http://127.0.0.1.:80/": SELF,
    "http://127.255.255.254/": SELF,
    "http://127.1/": FOUR,
    "http://127.0.1/": FOUR,
    "http://127.000.000.001/": FOUR,
    "http://0177.0.0.1/": FOUR,
    "http://0177.0.0.01/": FOUR,
    "http://0x7f.0.0.1/": FOUR,
    "http://0x7f000001/": FOUR,
    "http://0X7F000001/": FOUR,
    "http://017700000001/": FOUR,
    "http://2130706433/": FOUR,
    "http://4294967297/": FOUR,
    "http://1.2.3.4.5/": FOUR,
    "http://example.0x7f/": FOUR,
    "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/": SELF,
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/": SELF,
    "http://127\u30020\u30020\u30021/": SELF,
    "http://127\uff0e0\uff0e0\uff0e1/": SELF,
    "http://\u2461\u2460\u2462\u24ea\u2466\u24ea\u2465\u2463\u2462\u2462/": FOUR,
    "http://[::1]/": SELF,
    "http://[0:0:0:0:0:0:0:1]/": SELF,
    "http://[::1%25lo]/": "zone",
    "http://[::1%lo]/": "zone",
    "http://[::ffff:127.0.0.1]/": SELF,
    "http://[::ffff:7f00:1]/": SELF,
    "http://[::127.0.0.1]/": SELF,
    "http://[::ffff:0:127.0.0.1]/": SELF,
    "http://[64:ff9b::127.0.0.1]/": SELF,
    "http://[64:ff9b::7f00:1]/": SELF,
    "http://[64:ff9b:1::1]/": PRIVATE,
    "http://[2002:7f00:1::]/": SELF,
    "http://[2002:7f00:0001::1]/": SELF,
    "http://[2001:0:7f00:1::]/": SELF,
    "http://[2001:0:808:808::80ff:fffe]/": SELF,
    "http://[fe80::5efe:127.0.0.1]/": LINK,
    "http://[2606:4700::5efe:127.0.0.1]/": SELF,
    # Private, link-local, metadata.
    "http://10.0.0.1/": PRIVATE,
    "http://172.16.0.1/": PRIVATE,
    "http://172.31.255.255/": PRIVATE,
    "http://192.168.0.1/": PRIVATE,
    "http://100.64.0.1/": "a carrier's inner address",
    "http://100.100.100.200/": "a carrier's inner address",
    "http://169.254.169.254/latest/meta-data/": LINK,
    "http://[::ffff:169.254.169.254]/": LINK,
    "http://[2002:a9fe:a9fe::]/": LINK,
    "http://[64:ff9b::a9fe:a9fe]/": LINK,
    "http://168.63.129.16/": "a metadata address",
    "http://192.0.0.192/": RESERVED,
    "http://[fd00:ec2::254]/": PRIVATE,
    "http://[fc00::1]/": PRIVATE,
    "http://[fec0::1]/": PRIVATE,
    "http://[fe80::1]/": LINK,
    "http://[::ffff:10.0.0.1]/": PRIVATE,
    "http://[2002:c0a8:0101::1]/": PRIVATE,
    # Nowhere, everywhere, reserved.
    "http://0.0.0.0/": NOWHERE,
    "http://0.1.2.3/": NOWHERE,
    "http://0/": FOUR,
    "http://[::]/": NOWHERE,
    "http://[::ffff:0.0.0.0]/": NOWHERE,
    "http://224.0.0.1/": MANY,
    "http://239.255.255.250/": MANY,
    "http://[ff02::1]/": MANY,
    "http://255.255.255.255/": RESERVED,
    "http://240.0.0.1/": RESERVED,
    "http://192.0.2.1/": RESERVED,
    "http://198.18.0.1/": RESERVED,
    "http://[2001:db8::1]/": RESERVED,
    "http://[100::1]/": RESERVED,
    "http://[4000::1]/": RESERVED,
    # What two programs read differently.
    "http://user:password@93.184.216.34/": USER,
    "http://93.184.216.34@127.0.0.1/": USER,
    "http://@93.184.216.34/": USER,
    "http://93.184.216.34#@127.0.0.1/": FRAGMENT,
    "http://93.184.216.34/#top": FRAGMENT,
    "http://93.184.216.34\\@127.0.0.1/": SIGNS,
    "http:\\\\127.0.0.1\\": SIGNS,
    "http://93.184.216.34/a b": SIGNS,
    "http://93.184.216.34/\r\nHost: evil": SIGNS,
    "http://exa\tmple.com/": SIGNS,
    "http://ex\u2028ample.com/": SIGNS,
    "http://ex\ud800ample.com/": SIGNS,
    "http://%31%32%37.0.0.1/": HOST,
    "http://example.com%2f@x/": USER,
    "http://exam ple.com/": SIGNS,
    "http://exa$mple.com/": HOST,
    "http://-example.com/": HOST,
    "http://example..com/": HOST,
    "http:///path": HOST,
    "http://[::1/": DIVISION,
    "http://[::g]/": "no IPv6 address",
    "http://::1/": DIVISION,
    # Ports.
    "http://93.184.216.34:22/": PORT,
    "http://93.184.216.34:25/": PORT,
    "http://93.184.216.34:6379/": PORT,
    "http://example.com:11211/": PORT,
    "http://93.184.216.34:0/": DIVISION,
    "http://93.184.216.34:65616/": DIVISION,
    "http://93.184.216.34:999999/": DIVISION,
    "http://93.184.216.34:/": "",
    "http://93.184.216.34:80:80/": DIVISION,
    # Schemes and shapes.
    "file:///etc/passwd": SCHEME,
    "gopher://93.184.216.34/": SCHEME,
    "ftp://93.184.216.34/": SCHEME,
    "ws://93.184.216.34/": SCHEME,
    "javascript:alert(1)": FORM,
    "//93.184.216.34/": FORM,
    "/path": FORM,
    "93.184.216.34": FORM,
    "": FORM,
    f"http://example.com/{'a' * 4096}": "more than 4096",
}

GOOD = {
    "http://93.184.216.34/": ("http", "93.184.216.34", 80, "/"),
    " http://example.com/a?b=c ": ("http", "example.com", 80, "/a?b=c"),
    "HTTPS://Example.COM": ("https", "example.com", 443, "/"),
    "https://example.com.:8443?q": ("https", "example.com", 8443, "/?q"),
    "http://b\u00fccher.example/\u00e4?\u00fc=%20": (
        *("http", "xn--bcher-kva.example", 80),
        "/%C3%A4?%C3%BC=%20",
    ),
    "http://my_host:8080/..%2f": ("http", "my_host", 8080, "/..%2f"),
    "http://[2606:4700::1111]:8080/": ("http", "2606:4700::1111", 8080, "/"),
    "http://[::ffff:8.8.8.8]/": ("http", "::ffff:808:808", 80, "/"),
    "http://[64:ff9b::8.8.8.8]/": ("http", "64:ff9b::808:808", 80, "/"),
}


def judge(url: str, policy: Policy, *, configured: bool = False) -> None:
    """What the gate does before it resolves anything."""
    target = parse_target(url)
    policy.judge_port(target.host, target.port, configured=configured)
    if target.address is not None:
        policy.judge(target.host, target.port, target.address, configured=configured)


class FormTests(SynchronousTestCase):
    """URLs, taken apart strictly."""

    def test_N01_refused(self) -> None:
        """Each form that is not plainly public is refused, with its own reason."""
        self.assertGreaterEqual(len(REFUSED), 80)
        for url, reason in REFUSED.items():
            error = self.assertRaises(TargetRefused, judge, url, Policy())
            self.assertIn(reason, str(error), url)

    def test_N01_names_the_option(self) -> None:
        """The text says which option would allow a private target or another port."""
        for url in ("http://10.0.0.1/", "http://127.0.0.1/", "http://93.184.216.34:22/"):
            error = self.assertRaises(TargetRefused, judge, url, Policy())
            self.assertIn("push/httpcb.allow", str(error), url)

    def test_good(self) -> None:
        """Public targets pass, in their plain spelling."""
        for url, parts in GOOD.items():
            judge(url, Policy())
            target = parse_target(url)
            self.assertEqual((target.scheme, target.host, target.port, target.path), parts)

    def test_host_header(self) -> None:
        """The port is named unless it is the scheme's own, IPv6 has its brackets."""
        for url, netloc in {
            "http://example.com/": "example.com",
            "http://example.com:443/": "example.com:443",
            "https://example.com:443/": "example.com",
            "http://[2606:4700::1111]/": "[2606:4700::1111]",
        }.items():
            self.assertEqual(parse_target(url).netloc, netloc)

    @given(
        st.text(max_size=60) | st.text("htps:/@#[]\\.0127x%", max_size=40).map("http://".__add__)
    )
    def test_any_text(self, url: str) -> None:
        """Whatever the text, it is refused, or written as one line of visible ASCII."""
        try:
            target = parse_target(url)
        except TargetRefused:
            return
        line = f"{target.netloc}{target.path}"
        self.assertTrue(line.isascii() and line.isprintable() and " " not in line, url)

    @given(st.ip_addresses(v=4))
    def test_N01_wrapped(self, address: object) -> None:
        """An IPv4 address inside IPv6 is judged as it is outside."""
        four = ip_address(str(address))
        high, low = int(four) >> 16, int(four) & 0xFFFF
        forms = (
            f"::ffff:{four}",
            f"64:ff9b::{four}",
            f"2002:{high:x}:{low:x}::1",
            f"2001:0:808:808::{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",
        )
        for form in forms:
            kinds = {kind_of(inner) for inner in inner_addresses(ip_address(form))} - {""}
            self.assertEqual(kinds, {kind_of(four)} - {""}, form)


class PolicyTests(SynchronousTestCase):
    """What an operator opens, and what loopback may."""

    def allowed(self, url: str, policy: Policy, *, configured: bool = False) -> bool:
        """Whether a URL passes."""
        try:
            judge(url, policy, configured=configured)
        except TargetRefused:
            return False
        return True

    def test_N01_loopback_rule(self) -> None:
        """While the server listens on loopback only, loopback is open on any port."""
        policy = Policy(loopback=True)
        for url in ("http://127.0.0.1:9999/", "http://[::1]:22/", "http://[::ffff:127.0.0.1]:1/"):
            self.assertTrue(self.allowed(url, policy), url)
        for url in ("http://10.0.0.1/", "http://0.0.0.0:80/", "http://93.184.216.34:22/"):
            self.assertFalse(self.allowed(url, policy), url)

    def test_N01_allow_list(self) -> None:
        """Entries open hosts and networks, on the usual ports or on one."""
        policy = Policy(
            AllowList(("10.1.0.0/16", "10.2.0.1:9000", "[fd00::/8]:*", "192.168.0.1", "fc00::5"))
        )
        table = {
            "http://10.1.2.3/": True,
            "http://10.1.2.3:8080/": True,
            "http://10.1.2.3:9000/": False,
            "http://[::ffff:10.1.2.3]/": True,
            "http://10.2.0.1:9000/": True,
            "http://10.2.0.1/": False,
            "http://10.2.0.2:9000/": False,
            "http://[fd12::1]:12345/": True,
            "http://192.168.0.1/": True,
            "http://192.168.0.2/": False,
            "http://[fc00::5]/": True,
            "http://169.254.169.254/": False,
        }
        for url, expected in table.items():
            self.assertEqual(self.allowed(url, policy), expected, url)

    def test_N01_allowed_names(self) -> None:
        """A name on the list may lead to private addresses, on its port only."""
        policy = Policy(AllowList(("intra.example:9000", "crm.example")))
        private = ip_address("10.0.0.1")
        policy.judge("intra.example", 9000, private)
        policy.judge("crm.example", 443, private)
        for host, port in (("crm.example", 9000), ("intra.example", 80), ("other.example", 80)):
            with self.assertRaises(TargetRefused):
                policy.judge(host, port, private)

    def test_N01_never(self) -> None:
        """No entry opens what is nobody's address."""
        policy = Policy(AllowList(("0.0.0.0/0:*", "[::/0]:*")))
        for url in ("http://0.0.0.0/", "http://224.0.0.1/", "http://168.63.129.16/"):
            self.assertFalse(self.allowed(url, policy), url)
        self.assertTrue(self.allowed("http://127.0.0.1:22/", policy))

    def test_configured(self) -> None:
        """A target that the operator wrote may be private, but not loopback or link-local."""
        for url, expected in {
            "http://10.0.0.1:7010/": True,
            "http://93.184.216.34:2195/": True,
            "http://[fd00::1]:7010/": True,
            "http://127.0.0.1:7010/": False,
            "http://169.254.169.254/": False,
            "http://0.0.0.0:7010/": False,
            "http://224.0.0.1/": False,
        }.items():
            self.assertEqual(self.allowed(url, Policy(), configured=True), expected, url)
        self.assertTrue(
            self.allowed("http://127.0.0.1:7010/", Policy(loopback=True), configured=True)
        )

    def test_bad_entries(self) -> None:
        """An entry that is neither host nor network is named."""
        for entry in (
            "10.0.0.0/33",
            "host:0",
            "host:70000",
            "a b",
            "http://x/",
            "127.1",
            "x/8",
            "[x]",
        ):
            error = self.assertRaises(ValueError, AllowList, (entry,))
            self.assertIn(repr(entry), str(error))

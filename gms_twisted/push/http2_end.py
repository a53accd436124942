"""The library's client end of an HTTP/2 connection, set up as gateways and we want it.

Knows: the library's settings.  Does not know: transports, time.

RFC: 9113, 7541.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hpack import Encoder

# The library's debug log would show device tokens to whoever listens at that level.
logging.getLogger("hpack").setLevel(logging.INFO)

_MAX_HEADER_LIST_BYTES = 16_384


class _PlainEncoder(Encoder):
    """Writes header values as they are.

    Huffman's code would save a fifth of a request's bytes, and costs both sides more than
    all the rest of it: it is pure Python here.
    """

    def encode(self, headers: Iterable[Any] | Mapping[Any, Any], huffman: bool = False) -> bytes:
        """Encode; the library asks for no certain way."""
        return super().encode(headers, huffman=huffman)


def client_end() -> H2Connection:
    """Make one that takes no pushed streams, and no large header lists."""
    made = H2Connection(
        H2Configuration(
            client_side=True,
            header_encoding=None,
            # Headers are ours, and correct.
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
    )
    made.encoder = _PlainEncoder()
    made.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADER_LIST_BYTES,
        },
    )
    return made

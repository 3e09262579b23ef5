"""How much of an answer is read, and how long it may take: every limit of the adapters, with the reason for its number.

Any server may be broken or hostile, also one that a proxy puts in the service's place. Beyond a limit an answer is an
error of its request: a read is then unknown and a write unclear, never a short list. How long one answer may take is
the user's (`timeouts.request_s`).
"""

from __future__ import annotations

# --- Exchange, Graph, sign-in, remote PowerShell ---------------------------------------------------------------------

MOST_BYTES = 64 * 2**20
"""Of one body, as it travels and unpacked. A page has at most 1,000 rows, and Graph's 999: so 64 kB for each of them.
PowerShell's own client takes objects of up to 200 MB (New-PSSessionOption, -MaximumReceivedObjectSize)."""

MOST_SIGN_IN_BYTES = 2**20
"""Of an answer of Microsoft Entra: a token has a few kB, also with the 200 groups that one can name."""

MOST_DEPTH = 32
"""Levels of a JSON document. An error in a `$batch` has 8, a Conditional Access policy in a list 6."""

MOST_PAGES = 10_000
"""Of one listing: 10 million rows of Exchange or a million users of Graph, which has 100 on a page."""

MOST_ROWS = 2_000_000
"""Of one listing, in memory at once with the columns that are decoded: more than the largest tenants have mailboxes."""

MOST_PIPELINE_BYTES = 16 * 2**30
"""Of all answers to one pipeline of remote PowerShell: as many rows as above, with 8 kB of XML for each."""

CONNECT_S = 20.0
"""For a connection with its TLS handshake, so that a host that is away is noticed long before an answer is due."""

GRAPH_SILENCE_S = 60.0
"""Without a byte of Graph, which answers within seconds. A cmdlet of Exchange may think for minutes."""

MOST_REDIRECTS = 2
"""Within Exchange: the global endpoint names the tenant's region, and that may name another host once more."""

LONGEST_RETRY_AFTER_S = 366 * 86_400.0
"""A Retry-After that asks for more counts as so much. Whether to wait is decided by `timeouts.retry_s`."""

# --- MTA-STS ---------------------------------------------------------------------------------------------------------

POLICY_MOST_BYTES = 65_536
"""Of a policy file: the limit that RFC 8461 (3.3) suggests to senders."""

POLICY_S = 20.0
"""For one policy file, its connection included. Senders wait for up to a minute (RFC 8461, 3.3), a person less."""

POLICIES_AT_ONCE = 16
"""Policy files that are fetched side by side, each from a host of its own."""

# --- DNS -------------------------------------------------------------------------------------------------------------

DNS_LIFETIME_S = 8.0
"""For one question: all servers, tries and CNAMEs together. A resolver gives up on others after 5 s and less."""

DNS_TRY_S = 2.5
"""For one try at one server, so that three fit into the lifetime."""

DNS_SILENCES = 8
"""So many questions in a row that were met with silence, and none answered: the server is taken for dead."""

DNS_SILENT_LIFETIME_S = 1.0
"""For a question to a server that is taken for dead."""

DNS_MOST_BYTES = 16_384
"""Of an answer over TCP. The largest TXT sets of mail domains have some 10 kB."""

DNS_MOST_RECORDS = 500
"""In all sections of an answer, as its header counts them."""

DNS_MOST_ALIASES = 8
"""CNAMEs from one answer to the next; resolvers follow 8 to 16."""

DNS_UDP_BYTES = 1232
"""What fits one datagram everywhere (DNS flag day 2020)."""

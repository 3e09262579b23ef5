"""What DNS says about a domain's mail, without asking it: SPF, MX, DKIM, DMARC, MTA-STS, TLS-RPT.

Nothing here opens a socket. Whatever needs answers is a generator (`dialogue.Dialogue`) that yields questions and is
sent the answers, so that one text serves tests, plans and commands, and many domains can be asked at once.
`spf_syntax` reads records, `spf` is RFC 7208's check_host(), `records` reads the other kinds, `check` turns one
domain's answers into findings with the exact record to publish, `zone` writes records for name servers and tools.
"""

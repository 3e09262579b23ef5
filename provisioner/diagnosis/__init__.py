"""From a mail server's answer to its cause, the evidence for it in the tenant, and the fix. Pure."""

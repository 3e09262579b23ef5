"""The ports through which the engine reaches a tenant and DNS, their adapters, credentials, and retries."""

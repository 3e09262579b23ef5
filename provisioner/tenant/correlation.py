"""What ties a request to the run that made it, in the service's own logs.

Exchange and Graph keep the header client-request-id beside their own request-id, and Microsoft's support looks requests
up by either (Graph, Best practices, "Generate a GUID for every request"). It must be a GUID, and each request's own.
"""

import re
import uuid


def request_id(run: str) -> str:
    """A new GUID whose first twelve digits are the id of the run, where it has one of that form."""
    own = uuid.uuid4().hex
    return str(uuid.UUID(run + own[12:] if re.fullmatch("[0-9a-f]{12}", run) else own))

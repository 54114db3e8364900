"""`Idempotency-Key` on POSTs that create: the same key and body make one thing, and get one answer, for 24 hours.

A service keeps what it has answered in a table of its own schema (`StoredAnswer`). A route whose work is one
transaction says so in one word: `return await once(users.create(body, by=admin))`. Where the work goes on after its
transaction, the service asks the `Key` itself.
"""

from shared.idempotency.expiry import forgetting
from shared.idempotency.keys import Key, key_of
from shared.idempotency.models import StoredAnswer
from shared.idempotency.once import Once, once_of

__all__ = ["Key", "Once", "StoredAnswer", "forgetting", "key_of", "once_of"]

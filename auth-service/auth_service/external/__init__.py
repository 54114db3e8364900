"""Users of other OIDC issuers: their tokens are taken, and they are made users here when they are first seen."""

"""The schema `llm`: what every table of this service derives from."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from sqlalchemy import BigInteger, DateTime, Numeric, Text, text
from sqlalchemy.orm import DeclarativeBase, mapped_column

from shared.database import metadata_of

Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Word = Annotated[str, mapped_column(Text)]
Tokens = Annotated[int, mapped_column(BigInteger, server_default=text("0"))]
Usd = Annotated[Decimal, mapped_column(Numeric)]
"""US dollars, exact: a token costs as little as 0.00000001."""


class Base(DeclarativeBase):
    metadata = metadata_of("llm")

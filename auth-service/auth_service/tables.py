"""The schema `auth`: what every table of this service derives from."""

from datetime import datetime
from typing import Annotated

from sqlalchemy import DateTime, func
from sqlalchemy.orm import DeclarativeBase, mapped_column

from shared.database import metadata_of

CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]


class Base(DeclarativeBase):
    metadata = metadata_of("auth")

"""The schema `auth`: what every table of this service derives from."""

from datetime import datetime
from typing import Annotated

from sqlalchemy import DateTime, ForeignKey, func
from sqlalchemy.orm import DeclarativeBase, mapped_column

from shared.database import metadata_of

CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
OrganizationId = Annotated[str, mapped_column(ForeignKey("auth.organizations.id", ondelete="CASCADE"))]
UserId = Annotated[str, mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"))]


class Base(DeclarativeBase):
    metadata = metadata_of("auth")

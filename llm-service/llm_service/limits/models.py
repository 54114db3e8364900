"""Tables `llm.limit_windows` and `llm.reservations`; the functions of migration 0005 are what changes them."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from llm_service.tables import Base, Moment, Word


class LimitWindow(Base):
    """What `subject` (an API key, or a login) has spent and reserved in one window of one dimension."""

    __tablename__ = "limit_windows"

    organization_id: Mapped[Word] = mapped_column(primary_key=True)
    subject: Mapped[Word] = mapped_column(primary_key=True)
    dimension: Mapped[Word] = mapped_column(primary_key=True)
    starts_at: Mapped[Moment] = mapped_column(primary_key=True)
    spent: Mapped[Decimal] = mapped_column(server_default=text("0"))
    reserved: Mapped[Decimal] = mapped_column(server_default=text("0"))


class Reservation(Base):
    """The id is that of the ledger's request. `holds` lists what is reserved, and in which windows.

    Where the owner did not renew the lease in time, `charged_at` says when the reserved amounts were charged instead.
    """

    __tablename__ = "reservations"
    __table_args__ = (Index("ix_reservations_lease_until", "lease_until", postgresql_where=text("charged_at IS NULL")),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[Word]
    subject: Mapped[Word]
    about: Mapped[dict[str, Any]] = mapped_column(JSONB)
    holds: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    lease_until: Mapped[Moment]
    charged_at: Mapped[Moment | None]

"""What cannot be done with invitations."""

from shared.errors import Forbidden, NotFound


class InvitationNotFound(NotFound):
    code, title = "invitation_not_found", "There is no such invitation"

    def __init__(self) -> None:
        super().__init__("The organization has no open invitation of this id.")


class InvitationRefused(Forbidden):
    """The same for one that is unknown, was used or revoked, has expired, or was for somebody else."""

    code, title = "invitation_refused", "The invitation does not hold"

    def __init__(self) -> None:
        super().__init__("The invitation does not hold, or not any more. Ask for a new one.")

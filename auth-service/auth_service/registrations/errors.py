"""Why nobody, or not this one, may register."""

from shared.errors import Conflict, Forbidden


class RegistrationClosed(Forbidden):
    code, title = "registration_closed", "Registration is closed"

    def __init__(self) -> None:
        super().__init__("Accounts are made by an administrator here.")


class InvitationRequired(Forbidden):
    code, title = "invitation_required", "Registration needs an invitation"

    def __init__(self) -> None:
        super().__init__("Registration needs an invitation: ask an administrator for one.")


class NameTaken(Conflict):
    """Does not tell which of the two: a stranger learns no more than that another username has to be chosen."""

    code, title = "name_taken", "The username or the e-mail address is taken"

    def __init__(self) -> None:
        super().__init__("Somebody has this username or this e-mail address.")

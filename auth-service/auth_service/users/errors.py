"""What cannot be done to users, and why a name or a password is not taken."""

from shared.errors import Conflict, Forbidden, NotFound, Unprocessable


class UserNotFound(NotFound):
    """The same for an unknown user and one of another organization."""

    code, title = "user_not_found", "There is no such user"

    def __init__(self) -> None:
        super().__init__("The organization has no user of this id.")


class UsernameTaken(Conflict):
    code, title = "username_taken", "The username is taken"

    def __init__(self) -> None:
        super().__init__("Somebody has this username.")


class EmailTaken(Conflict):
    code, title = "email_taken", "The e-mail address is taken"

    def __init__(self) -> None:
        super().__init__("Somebody has this e-mail address.")


class LastOwner(Conflict):
    """An organization without an owner could never have one again."""

    code, title = "last_owner", "The organization would have no owner"

    def __init__(self) -> None:
        super().__init__("This is the last owner of an organization: make somebody else an owner first.")


class OwnerRequired(Forbidden):
    """Admins may neither make owners nor touch them."""

    code, title = "owner_required", "Only an owner may do this"

    def __init__(self) -> None:
        super().__init__("Only an owner of the organization may make an owner, or change one.")


class OwnPassword(Forbidden):
    """Whoever finds an administrator's token does not take over the account with it."""

    code, title = "own_password", "The own password is changed elsewhere"

    def __init__(self) -> None:
        super().__init__("Change your own password at /api/auth/me/password, which asks for the current one.")


class WrongPassword(Forbidden):
    code, title = "wrong_password", "The password is wrong"

    def __init__(self) -> None:
        super().__init__("The current password is wrong.")


class UnacceptablePassword(Unprocessable):
    """Tells by its code which rule it breaks."""

    code, title = "unacceptable_password", "The password is too easily guessed"


class PasswordTooShort(UnacceptablePassword):
    code, title = "password_too_short", "The password is too short"

    def __init__(self, shortest: int) -> None:
        super().__init__(f"A password has at least {shortest} characters.", shortest=shortest)


class PasswordTooLong(UnacceptablePassword):
    code, title = "password_too_long", "The password is too long"

    def __init__(self, longest: int) -> None:
        super().__init__(f"A password has at most {longest} characters.", longest=longest)


class PasswordTooSimple(UnacceptablePassword):
    code, title = "password_too_simple", "The password is too simple"

    def __init__(self, different: int) -> None:
        super().__init__(f"A password has at least {different} different characters.", different=different)


class PasswordHoldsUsername(UnacceptablePassword):
    code, title = "password_holds_username", "The password contains the username"

    def __init__(self) -> None:
        super().__init__("A password does not contain the username.")


class PasswordTooCommon(UnacceptablePassword):
    code, title = "password_too_common", "The password is too common"

    def __init__(self) -> None:
        super().__init__("This password, or what it is built on, is among the first that an attacker tries.")

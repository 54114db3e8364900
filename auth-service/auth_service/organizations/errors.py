"""What cannot be done to organizations and their members."""

from shared.errors import Conflict, NotFound


class OrganizationNotFound(NotFound):
    """The same for an unknown organization and one that the caller does not act in."""

    code, title = "organization_not_found", "There is no such organization"

    def __init__(self) -> None:
        super().__init__("You are in no organization of this id, or the token is not for it.")


class AlreadyMember(Conflict):
    code, title = "already_member", "The user is a member already"

    def __init__(self) -> None:
        super().__init__("The user belongs to the organization already: change the role instead.")


class BelongsHere(Conflict):
    """Without a membership at home nobody could administer the account."""

    code, title = "belongs_here", "The account belongs to the organization"

    def __init__(self) -> None:
        super().__init__("The account belongs to this organization: disable or delete it instead.")


class OrganizationInUse(Conflict):
    code, title = "organization_in_use", "The organization is in use"

    def __init__(self) -> None:
        super().__init__("Accounts belong to the organization: delete them first.")


class NotForPrograms(Conflict):
    """A program cannot be asked: an organization that only one owns has no owner."""

    code, title = "not_for_programs", "A service account cannot be an owner"

    def __init__(self) -> None:
        super().__init__("A service account cannot own an organization.")

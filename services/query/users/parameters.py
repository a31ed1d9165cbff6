"""Query parameters of users, parsed into `UserFilter`. Pure."""

from schemas.control import App
from services.query.core.parameters import ButBots, ListParameters, range_of
from services.query.users.statements import UserFilter


class UsersParameters(ButBots, ListParameters):
    """Parameters of users: `from` and `to` are about when a user was first seen."""


def user_filter(given: UsersParameters, app: App) -> UserFilter:
    return UserFilter(first_seen=range_of(given, app), include_bots=given.include_bots)

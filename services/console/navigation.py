"""The menus: the pages of an app, in groups, and those of the whole installation."""

from typing import Final, NamedTuple

from services.console.i18n.catalogue import text


class Entry(NamedTuple):
    """`path`: below the app's, or from the root."""

    path: str
    label: str
    for_admins: bool = False


APP_MENU: Final = (
    (
        text("Reports"),
        (
            Entry("overview", text("Overview")),
            Entry("performance", text("Performance")),
            Entry("models", text("Models side by side")),
            Entry("paths", text("Paths")),
            Entry("funnel", text("Funnel")),
        ),
    ),
    (
        text("Data"),
        (
            Entry("conversions", text("Conversions")),
            Entry("people", text("People")),
            Entry("live", text("Live events")),
            Entry("rejected", text("Refused events")),
            Entry("validate", text("Validate events")),
        ),
    ),
    (
        text("Setting up"),
        (
            Entry("goals", text("Goals")),
            Entry("channels", text("Channel rules")),
            Entry("costs", text("Costs")),
            Entry("alerts", text("Alerts")),
            Entry("webhooks", text("Webhooks")),
            Entry("exports", text("Exports")),
        ),
    ),
    (
        text("Settings"),
        (
            Entry("api-keys", text("API management")),
            Entry("settings", text("App settings"), for_admins=True),
            Entry("changes", text("Log of changes")),
            Entry("help", text("Help")),
        ),
    ),
)
ADMIN_GROUP: Final = text("Installation")
ADMIN_MENU: Final = (
    Entry("/apps", text("Apps")),
    Entry("/users", text("Users")),
    Entry("/audit", text("Log of changes")),
    Entry("/system", text("System")),
)

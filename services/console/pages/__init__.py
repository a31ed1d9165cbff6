"""The pages, a module for each area."""

from typing import Final

from services.console.pages.alerts import router as alerts
from services.console.pages.api_keys import router as api_keys
from services.console.pages.apps import router as apps
from services.console.pages.channels import router as channels
from services.console.pages.conversions import router as conversions
from services.console.pages.costs import router as costs
from services.console.pages.deliveries import router as deliveries
from services.console.pages.events import router as events
from services.console.pages.exports import router as exports
from services.console.pages.first_event import router as first_event
from services.console.pages.goal_tests import router as goal_tests
from services.console.pages.goals import router as goals
from services.console.pages.help import router as help_pages
from services.console.pages.live import router as live
from services.console.pages.overview import router as overview
from services.console.pages.paths import router as paths
from services.console.pages.people import router as people
from services.console.pages.performance import router as performance
from services.console.pages.profile import router as profile
from services.console.pages.rejected import router as rejected
from services.console.pages.sign_in import router as sign_in
from services.console.pages.system import router as system
from services.console.pages.users import router as users
from services.console.pages.validate import router as validate
from services.console.pages.webhooks import router as webhooks

ROUTERS: Final = (
    *(sign_in, apps, api_keys, first_event, profile, users, system),
    *(goals, goal_tests, channels, costs, alerts, webhooks, deliveries, exports),
    *(overview, performance, conversions, people, paths, live, events, rejected, validate, help_pages),
)

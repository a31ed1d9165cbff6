"""The ledger of a demo run: the numbers sent, answered, published, stored and credited must agree. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from deploy.demo.generator import Truth
from deploy.demo.poster import Posted
from schemas.facts import Model


@dataclass(frozen=True)
class Credited:
    """Sums over the conversions, credited by one model (or one report of it)."""

    conversions: Decimal
    value_minor: int


@dataclass(frozen=True)
class Observed:
    """State of the installation after the run. Counts of tables are of final rows."""

    topic_lines: int
    """Number of events in the topic `events`, counted by reading it."""
    stored: int
    duplicates: int
    late: int
    rejected: Counter[str] = field(default_factory=Counter)
    """Number of rows of `rejected` by error code."""
    conversions: Counter[str] = field(default_factory=Counter)
    """Number of conversions by goal."""
    value_minor: int = 0
    attributions: int = 0
    unbalanced: tuple[str, ...] = ()
    """Conversions whose credits do not sum to exactly 1, or values not to exactly the value, under some model."""
    credited: Mapping[Model, Credited] = field(default_factory=dict)
    """Credit by model, summed over the rows of `attributions`."""
    reported: Mapping[Model, Credited] = field(default_factory=dict)
    """Credit by model, from the totals of the performance report of the API."""
    added_up: Mapping[Model, Credited] = field(default_factory=dict)
    """Credit by model, summed over the lines of that report."""
    links: int = 0
    people: int = 0
    """Number of people with a session."""
    strays: int = 0
    """Number of sessions of browsers that are known to be a customer's."""


@dataclass(frozen=True)
class Check:
    name: str
    expected: object
    found: object

    @property
    def holds(self) -> bool:
        return self.expected == self.found


def checks(truth: Truth, posted: Posted, observed: Observed) -> list[Check]:
    """List all checks of a run: each compares an expected number with one found."""
    events, people = _events(truth, posted, observed), _people(truth, observed)
    return [*_answers(truth, posted), *events, *people, *_credits(truth, observed)]


def _answers(truth: Truth, posted: Posted) -> Iterator[Check]:
    yield Check("every event was answered", truth.sent, posted.sent)
    yield Check("every answer is the right one", [], posted.surprises[:5])
    answered = posted.accepted + posted.duplicates + posted.rejected.total()
    yield Check("sent = accepted + recognised at once + rejected", posted.sent, answered)
    yield Check("rejected, by reason", dict(truth.rejected), dict(posted.rejected))


def _events(truth: Truth, posted: Posted, observed: Observed) -> Iterator[Check]:
    yield Check("accepted = stored + duplicates", observed.topic_lines, observed.stored + observed.duplicates)
    # Only a request that was sent again may have been accepted, or refused, more often than was answered.
    again = observed.topic_lines - posted.accepted
    yield Check("accepted by topic = accepted by answer", 0, 0 if posted.retries and again > 0 else again)
    yield Check("stored = distinct valid events sent", truth.stored, observed.stored)
    repeats = truth.duplicates - posted.duplicates + again
    yield Check("duplicates = repeats sent and not recognised at once", repeats, observed.duplicates)
    yield Check("late = events sent too late", truth.late, observed.late)
    if not posted.retries:
        yield Check("rejected events are stored with their reason", dict(truth.rejected), dict(observed.rejected))


def _people(truth: Truth, observed: Observed) -> Iterator[Check]:
    yield Check("links = browsers and customers seen together", truth.links, observed.links)
    yield Check("people = customers, and browsers that are nobody's", truth.people, observed.people)
    yield Check("sessions left with a browser that is a customer's", 0, observed.strays)


def _credits(truth: Truth, observed: Observed) -> Iterator[Check]:
    total = observed.conversions.total()
    yield Check("conversions = goals met", dict(truth.conversions), dict(observed.conversions))
    yield Check("value of the conversions = revenue sent", truth.revenue_minor, observed.value_minor)
    yield Check("every conversion is attributed", total, observed.attributions)
    yield Check("credits sum to exactly 1 and values to the value, on each", (), observed.unbalanced[:5])
    for model in Model:
        whole = Credited(Decimal(total), observed.value_minor)
        yield Check(f"{model}: credited conversions and value", whole, observed.credited.get(model))
        yield Check(f"{model}: totals of the report", whole, observed.reported.get(model))
        yield Check(f"{model}: lines of the report", whole, observed.added_up.get(model))

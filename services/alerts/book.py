"""The active rules, each with its judge, and the rows they have yet to process. Pure."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence

from pipeline.domain.alerts import Judge, Window, first_window_from_ms, windows
from pipeline.readmodel.alert_windows import BY_RECEIPT
from schemas.control import AlertRule, App
from schemas.facts import AlertRow, AlertWindowRow


def with_older(older: Iterable[AlertWindowRow], logged: Sequence[AlertWindowRow]) -> list[AlertWindowRow]:
    """Return the rows of the log, preceded by those of `older` that have expired there."""
    first_ms: dict[str, int] = {}
    for row in logged:
        first_ms[row.rule_id] = min(row.window_start_ms, first_ms.get(row.rule_id, row.window_start_ms))
    return [row for row in older if row.window_end_ms <= first_ms.get(row.rule_id, row.window_end_ms)] + list(logged)


class RuleBook:
    """Rules and their state. Call `hear` with the rows of the log, in order, for every past and present rule; `use`
    when the rules change.
    """

    def __init__(self, kept_rows: int) -> None:
        """`kept_rows`: how many windows of a rule are remembered, for rules that come back with other settings."""
        self._kept_rows = kept_rows
        self._rows: dict[str, deque[AlertWindowRow]] = defaultdict(lambda: deque(maxlen=kept_rows))
        self._rules: dict[str, tuple[AlertRule, App]] = {}
        self._judges: dict[str, Judge] = {}
        self._last_alert: dict[str, AlertRow | None] = {}

    def use(self, rules: Iterable[AlertRule], apps: Mapping[str, App]) -> None:
        """Set the rules that are judged from now on. A rule that is new here, or was resumed, starts from the known
        rows.
        """
        wanted = {rule.rule_id: (rule, apps[rule.app_id]) for rule in rules if rule.app_id in apps}
        wanted = {rule_id: (rule, app) for rule_id, (rule, app) in wanted.items() if not rule.is_paused}
        for rule_id, (rule, app) in wanted.items():
            known = self._rules.get(rule_id)
            if known is None or known[0] != rule or known[1].currency != app.currency:
                judge = self._judges[rule_id] = Judge(rule, app.currency)
                self._last_alert[rule_id] = None
                for row in self._rows.get(rule_id, ()):
                    self._last_alert[rule_id] = judge.take(row)
        self._rules = wanted

    @property
    def has_rules(self) -> bool:
        return bool(self._rules)

    def hear(self, rows: Iterable[AlertWindowRow]) -> list[AlertRow]:
        """Process rows; return the alerts that follow from them."""
        found = []
        for row in rows:
            kept = self._rows[row.rule_id]
            if kept and row.window_start_ms < kept[-1].window_end_ms:
                continue
            kept.append(row)
            judge = self._judges.get(row.rule_id)
            if judge is None:
                continue
            alert = self._last_alert[row.rule_id] = judge.take(row)
            if alert is not None:
                found.append(alert)
        return found

    def last_alerts(self) -> list[AlertRow]:
        """Return the alerts that the last window of each rule caused. After a restart it is unknown whether they were
        sent; what earlier windows brought about was, before the next was measured.
        """
        return [alert for rule_id, alert in self._last_alert.items() if alert is not None and rule_id in self._rules]

    def due(self, through_ms: Mapping[bool, int | None], limit: int) -> list[tuple[AlertRule, App, list[Window]]]:
        """List for each rule the next windows to measure, `limit` at most. `through_ms`: how far events (False) and
        requests (True) are complete; None: that is not known.
        """
        found = []
        for rule_id, (rule, app) in self._rules.items():
            through = through_ms[rule.metric in BY_RECEIPT]
            if through is None:
                continue
            from_ms = max(first_window_from_ms(rule), self._measured_through_ms(rule_id))
            wanted = windows(rule, app.timezone, from_ms, through, limit)
            if wanted:
                found.append((rule, app, wanted))
        return found

    def _measured_through_ms(self, rule_id: str) -> int:
        kept = self._rows.get(rule_id)
        return kept[-1].window_end_ms if kept else 0

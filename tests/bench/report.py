"""What the bench found: rows, verdicts on the targets, and the three ways to show them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from tests.bench.client import Load, percentile
from tests.bench.notifications import Comparison, Window
from tests.bench.processes import Usage

DURABILITY = (
    "Every write: majority write concern, journaled, history on (entity, history and due notifications "
    "commit together). Nothing is measured in memory only."
)
WORKER_LIMIT = 150 * 10**6  # bytes that a worker may hold after the whole bench
IDLE_LIMIT = 0.05  # what subscriptions that don't match may cost
QUIET = 0.05  # what other processes may take of the machine before the report warns
COLUMNS = (
    *("scenario", "req/s", "of H", "p50 ms", "p95 ms", "p99 ms", "broker µs", "mongod µs"),
    *("worker MB", "mongod MB", "generator", "others", "errors", "target", "verdict"),
)


@dataclass(frozen=True)
class Row:
    """One scenario; CPU in seconds per request, memory in bytes; None is what can't be known."""

    name: str
    items: int
    connections: int
    requests: int
    rate: float
    p50: float
    p95: float
    p99: float
    broker_cpu: float | None
    mongod_cpu: float | None
    worker_rss: int | None
    mongod_rss: int | None
    generator_share: float  # of one core
    others_share: float | None  # of all cores, that other processes took meanwhile
    errors: int
    failure: str
    wrong: str
    target: float | None
    bare_rate: float = 0.0  # H nearby: the mean of the runs just before and after
    limit: float | None = None  # seconds that the 99th percentile may take

    @classmethod
    def of(
        cls,
        name: str,
        load: Load,
        connections: int,
        used: Usage | None = None,
        others: float | None = None,
        wrong: str = "",
        items: int = 1,
        target: float | None = None,
    ) -> "Row":
        """A load as a row; `used` is what it took of the broker and of mongod."""
        ordered, requests = sorted(load.latencies), max(load.requests, 1)
        return cls(
            name=name,
            items=items,
            connections=connections,
            requests=load.requests,
            rate=load.rate,
            p50=percentile(ordered, 50),
            p95=percentile(ordered, 95),
            p99=percentile(ordered, 99),
            broker_cpu=used.broker_cpu / requests if used else None,
            mongod_cpu=used.mongod_cpu / requests if used else None,
            worker_rss=used.worker_rss if used else None,
            mongod_rss=used.mongod_rss if used else None,
            generator_share=load.generator_cpu / max(load.seconds, 1e-9),
            others_share=others,
            errors=load.errors,
            failure=load.failure,
            wrong=wrong,
            target=target,
        )


@dataclass(frozen=True)
class Verdict:
    """One target and whether it was met."""

    name: str
    target: str
    measured: str
    met: bool


@dataclass
class Report:
    """Everything that a run has to say."""

    machine: dict[str, str]
    options: dict[str, Any]
    bare: list[Row] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    comparison: Comparison | None = None

    @property
    def bare_rate(self) -> float:
        """H: the bare handler's requests per second, the median of the run."""
        return median(row.rate for row in self.bare) if self.bare else 0.0

    def add(self, rows: list[Row], bare: Row) -> None:
        """Add rows and the bare handler's run that followed; they are told against their neighbours."""
        nearby = (self.bare[-1].rate + bare.rate) / 2
        self.rows += [replace(row, bare_rate=nearby) for row in rows]
        self.bare.append(bare)

    @property
    def failed(self) -> bool:
        """Whether a scenario had errors or wrong answers: its figures are worth nothing."""
        return any(row.errors or row.wrong for row in [*self.bare, *self.rows])

    def ratio(self, row: Row) -> float:
        """Requests (in a batch: entities) per second, over H nearby."""
        bare = row.bare_rate or self.bare_rate
        return row.rate * row.items / bare if bare else 0.0

    def verdicts(self) -> list[Verdict]:
        """The targets that this run can judge."""
        found = [self._ratio_verdict(row, row.target) for row in self.rows if row.target]
        found += [_age_verdict(row, row.limit) for row in self.rows if row.limit]
        if self.comparison:
            cost, of = self.comparison.cost
            name = f"{self.comparison.subscriptions:,} idle subscriptions"
            found.append(Verdict(name, f"< {IDLE_LIMIT:.0%} of {of}", f"{cost:+.1%}", cost < IDLE_LIMIT))
        if self.rows and (rss := self.rows[-1].worker_rss):
            found.append(Verdict("worker", "< 150 MB", f"{rss / 1e6:.0f} MB", rss < WORKER_LIMIT))
        return found

    def _ratio_verdict(self, row: Row, target: float) -> Verdict:
        ratio = self.ratio(row)
        met = ratio >= target and not row.errors and not row.wrong
        return Verdict(row.name, f"≥ {target:.2f} H", f"{ratio:.3f} H", met)

    def as_json(self) -> bytes:
        """The whole report, without single latencies."""
        rows = [{**asdict(row), "ratio": self.ratio(row)} for row in self.rows]
        found = {
            "durability": DURABILITY,
            "machine": self.machine,
            "options": self.options,
            "bare": {"rate": self.bare_rate, "runs": [asdict(row) for row in self.bare]},
            "scenarios": rows,
            "notifications": _comparison(self.comparison),
            "targets": [asdict(verdict) for verdict in self.verdicts()],
            "failed": self.failed,
        }
        return orjson.dumps(found, option=orjson.OPT_INDENT_2)


def _age_verdict(row: Row, limit: float) -> Verdict:
    met = row.p99 < limit and not row.errors and not row.wrong
    return Verdict(row.name, f"p99 < {limit * 1e3:.0f} ms", f"{row.p99 * 1e3:.0f} ms", met)


def _comparison(found: Comparison | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "subscriptions": found.subscriptions,
        "created_per_second": found.created_per_second,
        "cpu_cost": found.cpu_cost,
        "rate_cost": found.rate_cost,
        "quiet": [_window(window) for window in found.quiet],
        "crowded": [_window(window) for window in found.crowded],
    }


def _window(window: Window) -> dict[str, Any]:
    members = {name: value for name, value in vars(window).items() if name != "load"}
    return {"rate": window.load.rate, "due": window.load.requests, "cpu": window.cpu, **members}


def heading(report: Report) -> list[str]:
    """What was measured on what, and what was durable."""
    on = report.machine
    spread = ", ".join(f"{row.rate:,.0f}" for row in report.bare)
    return [
        f"{on['cpu']}, {on['memory']}, {on['system']}; broker, mongod and generator share {on['cores']} CPUs",
        f"Python {on['python']}, aiohttp {on['aiohttp']}, uvloop {on['uvloop']}, "
        f"PyMongo {on['pymongo']}, MongoDB {on['mongodb']}",
        "{workers} worker(s), {connections} connections, {entities} entities, {seconds} s each".format(
            **report.options
        ),
        "CPU is per request; generator: of one core; others: what foreign processes took of all cores",
        DURABILITY,
        f"H = {report.bare_rate:,.0f} requests/s of a bare aiohttp handler on uvloop (median of {spread})",
        "of H: told against the mean of the runs of the bare handler just before and after",
    ]


def cells(report: Report) -> Iterator[tuple[str, ...]]:
    """The table's rows as text."""
    verdicts = {verdict.name: verdict for verdict in report.verdicts()}
    middle = sorted(report.bare, key=lambda each: each.rate)[len(report.bare) // 2 :][:1]
    for row in [*middle, *report.rows]:
        verdict = verdicts.get(row.name)
        yield (
            row.name,
            f"{row.rate:,.0f}" + (f" ({row.rate * row.items:,.0f} entities)" if row.items > 1 else ""),
            f"{report.ratio(row):.3f}",
            *(f"{seconds * 1e3:.1f}" for seconds in (row.p50, row.p95, row.p99)),
            *(_scaled(value, 1e6) for value in (row.broker_cpu, row.mongod_cpu)),
            *(_scaled(value, 1e-6) for value in (row.worker_rss, row.mongod_rss)),
            f"{row.generator_share:.0%}",
            "?" if row.others_share is None else f"{row.others_share:.0%}",
            f"{row.errors}" + (" wrong" if row.wrong else ""),
            verdict.target if verdict else "",
            _word(verdict.met) if verdict else "",
        )


def _scaled(value: float | None, factor: float) -> str:
    return "?" if value is None else f"{value * factor:,.0f}"


def _word(met: bool) -> str:
    return "pass" if met else "MISS"


def remarks(report: Report) -> Iterator[str]:
    """What does not fit into the table: notifications, the other targets, and everything that failed."""
    if found := report.comparison:
        yield from _notified(found)
    for verdict in report.verdicts():
        yield f"{_word(verdict.met)}  {verdict.name}: {verdict.measured} (target {verdict.target})"
    if (others := max((row.others_share or 0.0) for row in [*report.bare, *report.rows])) > QUIET:
        yield f"NOISY  other processes took up to {others:.0%} of the machine: read the ratios with care"
    for row in [*report.bare, *report.rows]:
        if row.errors or row.wrong:
            yield f"FAILED  {row.name}: {row.errors} errors. {row.failure} {row.wrong}".rstrip()


def _notified(found: Comparison) -> Iterator[str]:
    crowd = f"{found.subscriptions:,} idle subscriptions"
    for name, windows in ("1 subscriber", found.quiet), (f"1 subscriber and {crowd}", found.crowded):
        due, received = (sum(each.load.requests for each in windows), sum(each.received for each in windows))
        yield (
            f"{name}: {_middle(windows, 'per_second'):,.0f} notifications/s, "
            f"{_middle(windows, 'age_p50') * 1e3:.1f} ms p50, {_middle(windows, 'age_p99') * 1e3:.1f} ms p99 "
            f"from sending the update to receipt; all {due:,} due arrived, {received - due:,} of them twice"
        )
    spread = ", ".join(f"{cost:+.1%}" for cost in found.cpu_costs)
    cpu = "unknown" if found.cpu_cost is None else f"{found.cpu_cost:+.1%}"
    yield (
        f"{crowd} cost {cpu} CPU per update and {found.rate_cost:+.1%} updates/s "
        f"(medians of {len(found.quiet)} alternating pairs; CPU by pair: {spread}); "
        f"made at {found.created_per_second:,.0f}/s"
    )


def _middle(windows: Sequence[Window], name: str) -> float:
    return float(median(getattr(window, name) for window in windows))


def show(report: Report, console: Console) -> None:
    """The report for a terminal."""
    for line in heading(report):
        console.print(line, highlight=False)
    table = Table(*COLUMNS)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in cells(report):
        table.add_row(*row, style="bold red" if "wrong" in row[-3] or row[-1] == "MISS" else "")
    console.print(table)
    for line in remarks(report):
        console.print(line, highlight=False, markup=False)


def markdown(report: Report) -> str:
    """The report for the README."""
    rules = ["---", *["---:"] * (len(COLUMNS) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in (COLUMNS, rules, *cells(report))]
    listed = [f"- {line}" for line in (*heading(report), "", *remarks(report)) if line]
    split = len(heading(report))
    return "\n".join([*listed[:split], "", *lines, "", *listed[split:], ""])

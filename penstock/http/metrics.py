"""The text that Prometheus reads."""

from collections.abc import Iterable, Iterator, Mapping

from penstock.operations.metrics import Measurements

Sample = tuple[Mapping[str, str], float]


def exposition(measured: Measurements) -> str:
    """The measurements in Prometheus' text format, version 0.0.4."""
    return "".join(_families(measured))


def _families(measured: Measurements) -> Iterator[str]:
    subscriptions = [({"subscription": each.subscription}, each) for each in measured.subscriptions]
    yield _family("penstock_events_total", "counter", "Events in the store.", [({}, measured.events)])
    yield _family(
        "penstock_safe_position", "gauge", "Position that readers may go to.", [({}, measured.high_water_mark)]
    )
    yield _family(
        "penstock_subscription_position",
        "gauge",
        "Checkpoint of a subscription.",
        [(labels, each.position) for labels, each in subscriptions],
    )
    yield _family(
        "penstock_subscription_lag_seconds",
        "gauge",
        "Age of the oldest event that a subscription has not dealt with.",
        [(labels, each.lag_seconds) for labels, each in subscriptions],
    )
    yield _family(
        "penstock_runs",
        "gauge",
        "Runs that started within the last day.",
        [({"pipeline": pipeline, "status": status}, count) for pipeline, status, count in measured.runs],
    )
    yield _family(
        "penstock_dead_letters",
        "gauge",
        "Open dead letters.",
        [({"kind": kind}, count) for kind, count in measured.dead_letters],
    )


def _family(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{_labels(labels)} {value}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

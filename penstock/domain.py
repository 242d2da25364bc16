"""A domain: all that a business adds to Penstock, as one value.

The package finds nothing by itself: it walks no folder. What runs it (the app, the command line, a test) installs
the domains that it wants, and from then on their parts are found by name:

    DOMAIN = Domain("tickets", events=(TICKET_OPENED,), projections=(TICKETS,), routes=(routes,))
    install(DOMAIN)

`shop/__init__.py` is the example.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock import payloads
from penstock.event_store import folds
from penstock.event_store.folds import Fold
from penstock.ingest.files import compensation as compensations
from penstock.ingest.files import target as targets
from penstock.ingest.files.compensation import Compensation
from penstock.ingest.files.target import Target
from penstock.payloads import EventSchema
from penstock.postgres import migrations, public_schema
from penstock.projections import projection as projections
from penstock.projections.projection import Projection
from penstock.settings import Settings
from penstock.views import registry as views
from penstock.views.registry import View


@dataclass(frozen=True)
class Local:
    """A running `penstock up`: where app and Inngest answer, how to say something to the user.

    `check` raises if one of its programs has ended meanwhile.
    """

    address: str
    inngest: str
    check: Callable[[], None]
    say: Callable[[str], None]


@dataclass(frozen=True)
class Domain:
    """What a business adds; each part may be empty.

    `events` are the payloads that webhooks and typed appends are held to, `folds` the states of aggregates,
    `projections` the read models, `targets` what files may become, `compensations` what `undo` appends to take
    their events back, `views` the figures that may be read by name, `routes` FastAPI routers, or a function that
    gives them to the app (so that an import on the command line loads no FastAPI), and `functions` Inngest
    functions (the core never looks into these two). `commands` add commands to `penstock` (see
    `penstock/cli/arguments.py`). `after_import` brings figures up to date when the command line has loaded a file
    (elsewhere Inngest's event `import/file.loaded` does). `sample` loads something to look at, once, when
    everything runs on one machine. `migrations` are the files (without `.sql`) that its tables come from: a
    deployment has no files to see which ones are missing; with their digests (`migrations.read_manifest`) it sees as
    well which of them the database has in another text. `public` are the names that they put into the schema `public`,
    beside views and the tables of projections: `PENSTOCK_PUBLIC_SCHEMA` moves all of them. `tables` hold data
    beside the tables of projections, those of import targets and `staging`: `penstock reset` empties all of them.
    """

    name: str
    events: Sequence[EventSchema] = ()
    folds: Sequence[Fold[Any]] = ()
    projections: Sequence[Projection] = ()
    targets: Sequence[Target] = ()
    compensations: Sequence[Compensation] = ()
    views: Sequence[View] = ()
    routes: Sequence[Any] | Callable[[], Sequence[Any]] = ()
    functions: Sequence[Any] = ()
    commands: Sequence[Callable[[Any], None]] = ()
    after_import: Callable[[Settings], None] | None = None
    sample: Callable[[Local], None] | None = None
    migrations: Sequence[str] | Mapping[str, str] = ()
    public: Sequence[str] = ()
    tables: Sequence[str] = ()


_installed: dict[str, Domain] = {}


def after_import(settings: Settings) -> None:
    """Have every installed domain bring its figures up to date."""
    for domain in _installed.values():
        if domain.after_import:
            domain.after_import(settings)


def data_tables() -> list[str]:
    """The tables in which the installed domains keep data, each once."""
    found: dict[str, None] = {}
    for domain in _installed.values():
        found |= dict.fromkeys(table for projection in domain.projections for table in projection.tables)
        found |= dict.fromkeys(target.into.name for target in domain.targets if isinstance(target.into, targets.Table))
        found |= dict.fromkeys(domain.tables)
    return list(found)


def install(*domains: Domain) -> None:
    """Make what the domains hold known by name; once more changes nothing. Two parts of one name are a ValueError."""
    for domain in domains:
        _installed[domain.name] = domain
        for schema in domain.events:
            payloads.register(schema)
        for fold in domain.folds:
            folds.register(fold)
        for projection in domain.projections:
            projections.register(projection)
        for target in domain.targets:
            targets.register(target)
        for compensation in domain.compensations:
            compensations.register(compensation)
        for view in domain.views:
            views.register(view)
        migrations.declare(domain.migrations)
        public_schema.declare_names(_in_public(domain))


def _in_public(domain: Domain) -> set[str]:
    tables = [table for projection in domain.projections for table in projection.tables]
    bare = (table.removeprefix("public.") for table in tables)
    return {*domain.public, *(view.name for view in domain.views), *(name for name in bare if "." not in name)}

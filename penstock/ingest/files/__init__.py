"""Files in, at the speed of COPY, with every row accounted for.

store_joined     store the further files that the option `join` names, before any of these
create_import    store a file and open its import (the same file read in the same way: the one there is)
advance_import   work on it for a while, or to its end; resumable after any crash
describe_file    columns, guesses, first rows and questions of a file that nobody has explained yet
import_status    state, counts, progress
rejects_csv      the refused lines, safe to open in a spreadsheet
"""

from penstock.ingest.files import events_target as _events_target  # noqa: F401 - registers itself
from penstock.ingest.files.api import create_import, import_status, list_imports, rejects_csv
from penstock.ingest.files.describe import describe_file
from penstock.ingest.files.ledger import Import
from penstock.ingest.files.planned import store_joined
from penstock.ingest.files.preview import dry_run
from penstock.ingest.files.release import release_held
from penstock.ingest.files.remembered import (
    RememberedMapping,
    change_mapping,
    forget_mapping,
    list_mappings,
    read_mapping,
)
from penstock.ingest.files.run import advance_import
from penstock.ingest.files.storage.stored_files import is_remote
from penstock.ingest.files.storage.uploads import end_upload, open_upload, receive_upload, send_upload
from penstock.ingest.files.target import find_target, register, target_names
from penstock.ingest.files.undo import continue_undo, undo_import

__all__ = [
    "Import",
    "RememberedMapping",
    "advance_import",
    "change_mapping",
    "continue_undo",
    "create_import",
    "describe_file",
    "dry_run",
    "end_upload",
    "find_target",
    "forget_mapping",
    "import_status",
    "is_remote",
    "list_imports",
    "list_mappings",
    "open_upload",
    "read_mapping",
    "receive_upload",
    "register",
    "rejects_csv",
    "release_held",
    "send_upload",
    "store_joined",
    "target_names",
    "undo_import",
]

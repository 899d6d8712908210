"""OrientDB's JSON export: reading it, importing it, writing it, comparing two of them."""

from quiesce.orientdb.compare import Differences, compare_exports
from quiesce.orientdb.export_file import export_path
from quiesce.orientdb.export_options import ExportOptions, parse_export_options
from quiesce.orientdb.exporter import ExportProgress, ExportReport, export_database
from quiesce.orientdb.import_progress import ImportProgress, ImportReport
from quiesce.orientdb.importer import import_export
from quiesce.orientdb.layout import ExportPlan
from quiesce.orientdb.links import DanglingLink
from quiesce.orientdb.options import ImportOptions, OnError, parse_import_options
from quiesce.orientdb.reader import ExportReader, Section
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.orientdb.survey import Skipped, Survey, survey
from quiesce.orientdb.unique_keys import SharedKey

__all__ = [
    "DanglingLink",
    "Differences",
    "ExportOptions",
    "ExportPlan",
    "ExportProgress",
    "ExportReader",
    "ExportReport",
    "ExportedRecord",
    "ImportOptions",
    "ImportProgress",
    "ImportReport",
    "OnError",
    "Section",
    "SharedKey",
    "Skipped",
    "Survey",
    "compare_exports",
    "export_database",
    "export_path",
    "import_export",
    "parse_export_options",
    "parse_import_options",
    "survey",
]

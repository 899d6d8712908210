"""OrientDB's JSON export: reading it, importing it, writing it, comparing two of them."""

from quiesce.orientdb.compare import compare_exports
from quiesce.orientdb.differences import Difference, Differences
from quiesce.orientdb.export_file import export_path
from quiesce.orientdb.export_options import ExportOptions, parse_export_options
from quiesce.orientdb.exporter import ExportProgress, ExportReport, export_database
from quiesce.orientdb.importer import ImportProgress, ImportReport, import_export
from quiesce.orientdb.layout import ExportPlan
from quiesce.orientdb.links import DanglingLink
from quiesce.orientdb.reader import ExportReader, Section
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.orientdb.survey import Survey, survey

__all__ = [
    "DanglingLink",
    "Difference",
    "Differences",
    "ExportOptions",
    "ExportPlan",
    "ExportProgress",
    "ExportReader",
    "ExportReport",
    "ExportedRecord",
    "ImportProgress",
    "ImportReport",
    "Section",
    "Survey",
    "compare_exports",
    "export_database",
    "export_path",
    "import_export",
    "parse_export_options",
    "survey",
]

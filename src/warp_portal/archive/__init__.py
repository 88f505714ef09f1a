"""Layer 2: the `.warp` archive (docs/format.md): formats as values, and writing, reading, verifying and rekeying on top.

    header slots commit toc pages filetable packed limits      the formats: parse(serialize(x)) == x
    storage opening unlock trust state                         from a file to a commit that is whole, and the right one
    base indexlog tablelog committing packing resuming writer  writing: create, append, resume
    options problems                                           what it is told, and what it could not do
    content contents reader extraction                         reading: entries, single files, restoring
    difference livetree growth                                 what changed between snapshots, or since one
    retention liveness original carryover rewriting            forgetting: what is kept, and writing it anew
    replacement compaction                                     … in place of the archive
    survey estimate advice analysis                            telling what a create would give
    metadata coverage affected verification rekey              checking; changing key slots

Names are imported on first use, so that a command loads only what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warp_portal.archive.about import SlotInfo, Snapshot, Summary
    from warp_portal.archive.advice import Advice
    from warp_portal.archive.analysis import Analysis, TypeShare, analyze
    from warp_portal.archive.compaction import CompactReport, CompactRequest, Fate, compact
    from warp_portal.archive.difference import Aspect, Change, Tally, compare_snapshots
    from warp_portal.archive.estimate import Alternative, Estimate
    from warp_portal.archive.extraction import (
        ExtractProgress,
        ExtractReport,
        ExtractRequest,
        Overwrite,
        extract,
        plan,
    )
    from warp_portal.archive.filetable import Entry, Kind
    from warp_portal.archive.growth import Growth, largest_growths
    from warp_portal.archive.livetree import LiveOptions, LiveProgress, LiveTree, recorded_source
    from warp_portal.archive.options import (
        SUITES,
        PackOptions,
        PackProgress,
        PackReport,
        Source,
        Stream,
    )
    from warp_portal.archive.problems import Problem, ProblemList, Rest
    from warp_portal.archive.reader import ArchiveReader, open_archive
    from warp_portal.archive.rekey import add_slot, list_slots, proven, remove_slot
    from warp_portal.archive.retention import KeepRules, Selection
    from warp_portal.archive.rewriting import CompactProgress
    from warp_portal.archive.state import StateStore
    from warp_portal.archive.survey import AnalyzeOptions, AnalyzeProgress
    from warp_portal.archive.trust import SignatureState
    from warp_portal.archive.unlock import Lock, Unlock
    from warp_portal.archive.verification import DamagedChunk, Level, VerifyProgress, VerifyReport, verify
    from warp_portal.archive.writer import append, create

__all__ = [
    "SUITES",
    "Advice",
    "Alternative",
    "Analysis",
    "AnalyzeOptions",
    "AnalyzeProgress",
    "ArchiveReader",
    "Aspect",
    "Change",
    "CompactProgress",
    "CompactReport",
    "CompactRequest",
    "DamagedChunk",
    "Entry",
    "Estimate",
    "ExtractProgress",
    "ExtractReport",
    "ExtractRequest",
    "Fate",
    "Growth",
    "KeepRules",
    "Kind",
    "Level",
    "LiveOptions",
    "LiveProgress",
    "LiveTree",
    "Lock",
    "Overwrite",
    "PackOptions",
    "PackProgress",
    "PackReport",
    "Problem",
    "ProblemList",
    "Rest",
    "Selection",
    "SignatureState",
    "SlotInfo",
    "Snapshot",
    "Source",
    "StateStore",
    "Stream",
    "Summary",
    "Tally",
    "TypeShare",
    "Unlock",
    "VerifyProgress",
    "VerifyReport",
    "add_slot",
    "analyze",
    "append",
    "compact",
    "compare_snapshots",
    "create",
    "extract",
    "largest_growths",
    "list_slots",
    "open_archive",
    "plan",
    "proven",
    "recorded_source",
    "remove_slot",
    "verify",
]

_HOMES = {
    "about": ("SlotInfo", "Snapshot", "Summary"),
    "advice": ("Advice",),
    "analysis": ("Analysis", "TypeShare", "analyze"),
    "compaction": ("CompactReport", "CompactRequest", "Fate", "compact"),
    "difference": ("Aspect", "Change", "Tally", "compare_snapshots"),
    "estimate": ("Alternative", "Estimate"),
    "extraction": ("ExtractProgress", "ExtractReport", "ExtractRequest", "Overwrite", "extract", "plan"),
    "filetable": ("Entry", "Kind"),
    "growth": ("Growth", "largest_growths"),
    "livetree": ("LiveOptions", "LiveProgress", "LiveTree", "recorded_source"),
    "options": ("SUITES", "PackOptions", "PackProgress", "PackReport", "Source", "Stream"),
    "problems": ("Problem", "ProblemList", "Rest"),
    "reader": ("ArchiveReader", "open_archive"),
    "rekey": ("add_slot", "list_slots", "proven", "remove_slot"),
    "retention": ("KeepRules", "Selection"),
    "rewriting": ("CompactProgress",),
    "state": ("StateStore",),
    "survey": ("AnalyzeOptions", "AnalyzeProgress"),
    "trust": ("SignatureState",),
    "unlock": ("Lock", "Unlock"),
    "verification": ("DamagedChunk", "Level", "VerifyProgress", "VerifyReport", "verify"),
    "writer": ("append", "create"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value

"""The timeline on one page: responses with their reasons, the lesions' sizes, and their growth as curves."""

import datetime
import io
import textwrap

from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from results.context import DISCLAIMER
from results.palette import rgb
from results.timeline import Timeline, TimelineLesion, TimelineVisit

_A4_INCHES = (8.27, 11.69)
_VISITS, _LESIONS = 8, 16
"""So many columns and rows of the table fit; the CSV has the others."""
_REASONS = 4
_EMPTY = "–"


def timeline_pdf(timeline: Timeline) -> bytes:
    """Draw a timeline on one A4 page.

    The table shows the newest visits and the target lesions first; what does not fit is counted in a line below it.
    """
    figure = Figure(figsize=_A4_INCHES)
    FigureCanvasPdf(figure)
    figure.suptitle("Brain metastases over time (RANO-BM)", fontsize=15, x=0.06, y=0.975, ha="left")
    figure.text(0.06, 0.945, f"Patient {_plain(timeline.patient_id or '(without PatientID)')}", fontsize=10)
    figure.text(0.94, 0.945, f"{DISCLAIMER}. For research only.", fontsize=8, ha="right", color="0.4")
    grid = figure.add_gridspec(3, 1, height_ratios=(3.4, 2.4, 2.0), left=0.09, right=0.94, top=0.92, bottom=0.05)
    lesions = sorted(
        (lesion for lesion in timeline.lesions if lesion.role not in ("merged", "not_a_lesion")),
        key=lambda lesion: (lesion.role != "target", -max((s.longest_mm for s in lesion.sizes if s), default=0)),
    )
    _table(figure.add_subplot(grid[0]), timeline, lesions)
    curves = grid[1].subgridspec(1, 2, wspace=0.3)
    _curves(figure.add_subplot(curves[0]), timeline, lesions, "longest_mm", "longest diameter, mm")
    _curves(figure.add_subplot(curves[1]), timeline, lesions, "volume_mm3", "volume, mm³")
    _reasons(figure.add_subplot(grid[2]), timeline)
    page = io.BytesIO()
    figure.savefig(page, format="pdf", metadata={"Title": "Brain metastases over time", "CreationDate": None})
    return page.getvalue()


def _plain(text: str) -> str:
    """Give a text that matplotlib takes for no formula."""
    return text.replace("$", r"\$")


def _day(visit: TimelineVisit) -> str:
    return visit.date.isoformat() if visit.date else "no date"


def _table(axes: Axes, timeline: Timeline, lesions: list[TimelineLesion]) -> None:
    axes.set_axis_off()
    if not timeline.visits:
        axes.text(0.5, 0.5, "no visit was segmented yet", ha="center")
        return
    first = max(0, len(timeline.visits) - _VISITS)
    visits = timeline.visits[first:]
    rows = [[_plain(lesion.name), lesion.role.replace("_", "-"), *_row(lesion, first)] for lesion in lesions[:_LESIONS]]
    changes = [visit.response.diameters for visit in visits]
    sums = [_EMPTY if c is None or c.total is None else f"{c.total:.1f}" for c in changes]
    baseline = [_percent(c.from_baseline_percent if c else None) for c in changes]
    nadir = [_percent(c.from_nadir_percent if c else None) for c in changes]
    answers = [str(v.response.radiographic.response) if v.response.radiographic else v.response.role for v in visits]
    rows += [["sum of targets", "mm", *sums], ["from baseline", "", *baseline], ["from nadir", "", *nadir]]
    rows += [["response", "images", *(answer.replace("no evidence of disease", "NED") for answer in answers)]]
    widths = [0.22, 0.12, *[0.66 / len(visits)] * len(visits)]
    table = axes.table(
        rows, colLabels=["longest diameter, mm", "role", *map(_day, visits)], colWidths=widths, loc="upper center"
    )
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    for cell in table.get_celld().values():
        cell.set_linewidth(0.3)
    left_out = [f"{first} earlier visits"] if first else []
    left_out += [f"{len(lesions) - _LESIONS} more lesions"] if len(lesions) > _LESIONS else []
    if left_out:
        axes.text(0, 0, f"Not shown: {', '.join(left_out)}; see the CSV.", fontsize=7, color="0.4")


def _row(lesion: TimelineLesion, first: int) -> list[str]:
    return [
        _EMPTY if size is None else f"{size.longest_mm:.1f}{' ?' if size.ambiguous else ''}"
        for size in lesion.sizes[first:]
    ]


def _percent(value: float | None) -> str:
    return _EMPTY if value is None else f"{value:+.1f} %"


def _curves(axes: Axes, timeline: Timeline, lesions: list[TimelineLesion], what: str, label: str) -> None:
    placed = [(k, visit.date) for k, visit in enumerate(timeline.visits) if visit.date is not None]
    for number, lesion in enumerate(lesions[:_LESIONS], start=1):
        values = [getattr(size, what) if size else 0.0 for k, _ in placed for size in [lesion.sizes[k]]]
        colour = [value / 255 for value in rgb(number)]
        style = "-" if lesion.role == "target" else "--"
        days: list[datetime.date] = [day for _, day in placed]
        axes.plot(days, values, style, color=colour, marker="o", markersize=3, linewidth=1, label=_plain(lesion.name))  # type: ignore[arg-type]
    axes.set_ylabel(label, fontsize=8)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=6)
    axes.tick_params(axis="x", rotation=30)
    axes.grid(linewidth=0.3)
    if lesions and what == "longest_mm":
        axes.legend(fontsize=5, ncols=2, loc="best")


def _reasons(axes: Axes, timeline: Timeline) -> None:
    axes.set_axis_off()
    lines = [f"Baseline: {timeline.assessment.reason}"]
    for visit in timeline.visits[-_REASONS:]:
        for kind, verdict in (("images", visit.response.radiographic), ("overall", visit.response.overall)):
            if verdict is not None:
                lines.append(f"{_day(visit)}, {kind}: {verdict.response}, {verdict.reason}.")
    best = timeline.assessment.best_overall
    lines.append(f"Best overall response: {best.response}. {best.reason}")
    text = "\n".join(part for line in lines for part in textwrap.wrap(line, 125, subsequent_indent="    "))
    axes.text(0, 1, _plain(text), fontsize=7, va="top", linespacing=1.4)

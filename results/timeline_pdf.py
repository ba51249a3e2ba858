"""The timeline on one page: the lesions' sizes as table and curves, their pictures, and the responses with reasons.

Bands from top to bottom, each as high as what it holds; the pictures get what is left. What does not fit is named in
the last lines, and so is what no font has letters for.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from rano.remarks import thresholds
from results.context import DISCLAIMER
from results.lettering import MISSING, plain
from results.timeline import Timeline, TimelineLesion, TimelineVisit
from results.timeline_drawing import (
    draw_curves,
    draw_pictures,
    line_colour,
    milestones,
    picture_edge,
    pictures_height,
    visit_day,
)

_WIDTH, _HEIGHT = 8.27, 11.69  # A4; all lengths are inches
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.55, 0.55, 0.95, 0.45
_GAP = 0.2
_VISITS, _LESIONS = 8, 12
"""So many visits and lesions the table and the curves have."""
_REASONS, _REASON_LINES = 3, 16
"""The responses of so many visits are given with their reasons, in so many lines, or more where the newest needs it."""
_ROW, _LINE = 0.165, 0.135
_CURVES = (1.8, 2.6)
_SMALLEST, _EDGE = 0.3, 1.22  # of a picture; there is none where there is less room
_LINE_LENGTH = 130
_EMPTY = "–"


def timeline_pdf(timeline: Timeline, pictures: Mapping[int, bytes] | None = None) -> bytes:
    """Draw a timeline on one A4 page.

    Of the visits the newest are shown, of the lesions the first (``Timeline.in_order``).

    Parameters
    ----------
    pictures
        What ``key_images`` has drawn, by ``LesionSize.finding``.
    """
    figure = timeline_figure(timeline, pictures or {})
    page = io.BytesIO()
    figure.savefig(page, format="pdf", metadata={"Title": "Brain metastases over time", "CreationDate": None})
    return page.getvalue()


def timeline_figure(timeline: Timeline, pictures: Mapping[int, bytes]) -> Figure:
    """Draw the page as a figure."""
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    FigureCanvasPdf(figure)
    lesions = timeline.in_order
    page = _Page(figure)
    page.write(0.3, "Brain metastases over time (RANO-BM)", fontsize=15)
    page.write(0.6, f"Patient {plain(timeline.patient_id or '(without PatientID)')}", fontsize=10)
    page.write(0.6, f"{DISCLAIMER}. For research only.", fontsize=8, color="0.4", right=True)
    rows = _table(timeline, lesions[:_LESIONS])
    if rows:
        _draw_table(page.band(_ROW * len(rows)), rows, lesions[:_LESIONS])
    reasons = _reasons(timeline, lesions)
    pictured = 0
    if lesions:
        shown = milestones(timeline)
        space = page.left - _LINE * len(reasons) - 3 * _GAP
        curves = min(max(_CURVES[0], space - pictures_height(len(shown), _EDGE)), _CURVES[1])
        draw_curves(page.band(curves), timeline, lesions[:_LESIONS])
        edge = min(_EDGE, picture_edge(len(shown), space - curves))
        if edge >= _SMALLEST:
            band = page.band(pictures_height(len(shown), edge))
            pictured = draw_pictures(band, timeline, lesions[:_LESIONS], shown, pictures, edge=edge)
    axes = page.band(_LINE * len(reasons))
    axes.text(0, 1, plain("\n".join(reasons)), fontsize=7, va="top", linespacing=1.3, transform=axes.transAxes)
    notes = []
    left_out = _left_out(timeline, len(lesions), pictured)
    if left_out:
        notes.append(f"Not shown: {', '.join(left_out)}; see the timeline.")
    if any(MISSING in text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)):
        notes.append(f"{MISSING} stands for a letter that no font of the server has; the follow-up page shows it.")
    page.write(_HEIGHT - 0.3, "\n".join(notes), fontsize=7, color="0.4")
    return figure


class _Page:
    """Gives the page away in bands, from the top."""

    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self._used = _TOP

    @property
    def left(self) -> float:
        """What is left of the page's height."""
        return _HEIGHT - _BOTTOM - self._used

    def band(self, height: float) -> Axes:
        """Give the next band, without a frame."""
        bottom = _HEIGHT - self._used - height
        width = _WIDTH - _LEFT - _RIGHT
        self._used += height + _GAP
        axes = self._figure.add_axes((_LEFT / _WIDTH, bottom / _HEIGHT, width / _WIDTH, height / _HEIGHT))
        axes.set_axis_off()
        return axes

    def write(self, below: float, text: str, *, fontsize: float, color: str = "black", right: bool = False) -> None:
        """Write a line, its top so far below the page's."""
        x, side = (1 - _RIGHT / _WIDTH, "right") if right else (_LEFT / _WIDTH, "left")
        self._figure.text(x, 1 - below / _HEIGHT, text, fontsize=fontsize, color=color, ha=side, va="top")


def _table(timeline: Timeline, lesions: Sequence[TimelineLesion]) -> list[list[str]]:
    """Give the rows of the table, the first with the columns' titles; none without visits."""
    first = max(0, len(timeline.visits) - _VISITS)
    visits = timeline.visits[first:]
    if not visits:
        return []
    rows = [["longest diameter, mm", "role", *map(visit_day, visits)]]
    rows += [[plain(lesion.name), lesion.role.replace("_", "-"), *_sizes(lesion, first)] for lesion in lesions]
    rule = timeline.assessment.rules.target_rule
    unit, decimals = ("mm³", 0) if rule == "volume" else ("mm", 1)
    changes = [visit.response.change(rule) for visit in visits]
    sums = [_EMPTY if c is None or c.total is None else f"{c.total:.{decimals}f}" for c in changes]
    baseline = [_percent(c.from_baseline_percent if c else None) for c in changes]
    nadir = [_percent(c.from_nadir_percent if c else None) for c in changes]
    answers = [str(v.response.radiographic.response) if v.response.radiographic else v.response.role for v in visits]
    rows += [["sum of targets", unit, *sums], ["from baseline", "", *baseline], ["from nadir", "", *nadir]]
    return [*rows, ["response", "images", *(answer.replace("no evidence of disease", "NED") for answer in answers)]]


def _draw_table(axes: Axes, rows: Sequence[Sequence[str]], lesions: Sequence[TimelineLesion]) -> None:
    visits = len(rows[0]) - 2
    widths = [0.22, 0.12, *[0.66 / visits] * visits]
    table = axes.table(
        [list(row) for row in rows], colWidths=widths, bbox=Bbox.from_bounds(0, 0, 1, 1), cellLoc="center"
    )
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    for (row, column), cell in table.get_celld().items():
        cell.set_linewidth(0.3)
        cell.set_edgecolor("0.6")
        if row == 0 or row > len(lesions):
            cell.set_facecolor("0.94")
        if row in (0, len(rows) - 1):
            cell.set_text_props(weight="bold")
        if column == 0:
            cell.set_text_props(ha="left")
            if 0 < row <= len(lesions):
                cell.get_text().set_color(line_colour(lesions[row - 1]))


def _sizes(lesion: TimelineLesion, first: int) -> list[str]:
    return [
        f"{size.longest_mm:.1f}{' ?' if size.ambiguous else ''}" if size else lesion.unmeasured(number) or _EMPTY
        for number, size in enumerate(lesion.sizes)
        if number >= first
    ]


def _percent(value: float | None) -> str:
    return _EMPTY if value is None else f"{value:+.2f} %"


def _reasons(timeline: Timeline, lesions: Sequence[TimelineLesion]) -> list[str]:
    """Give the responses of the last visits and why, wrapped; of too many lines those of the earliest visits go."""
    if not timeline.visits:
        return ["No visit was segmented yet."]
    best = timeline.assessment.best_overall
    first = [] if lesions else [timeline.none_counts()]
    rules = f"Sum of targets: {thresholds(timeline.assessment.rules)}"
    undated = [timeline.undated] if timeline.undated else []
    first = _wrapped([*first, f"Baseline: {timeline.assessment.reason}", rules, *_merged(lesions), *undated])
    *earlier, newest = timeline.placed[-_REASONS:]
    last = [*_of_visit(newest), f"Best overall response: {best.response}. {best.reason} {best.doubt}".rstrip()]
    last = _wrapped(last)  # on whatever they say somebody may rely: they are never cut
    between = _wrapped([line for visit in earlier for line in _of_visit(visit)])
    left = max(_REASON_LINES - len(first) - len(last), 1)
    if len(between) > left:
        between = ["…", *between[len(between) - left + 1 :]]
    return [*first, *between, *last]


def _merged(lesions: Sequence[TimelineLesion]) -> list[str]:
    """Say into what lesions have merged, for which the table has no room."""
    into = [f"{one.name} into {name}" for one in lesions for k in range(len(one.sizes)) if (name := one.holder(k))]
    return [f"Merged, and so without a size of its own: {'; '.join(dict.fromkeys(into))}."] if into else []


def _of_visit(visit: TimelineVisit) -> list[str]:
    verdicts = (("images", visit.response.radiographic), ("overall", visit.response.overall))
    return [
        *(f"{visit_day(visit)}, {kind}: {one.response}, {one.sentence}" for kind, one in verdicts if one is not None),
        *(f"{visit_day(visit)}: {note}" for note in visit.response.notes),
    ]


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, _LINE_LENGTH, subsequent_indent="    ")]


def _left_out(timeline: Timeline, lesions: int, pictured: int) -> list[str]:
    counts = [
        (len(timeline.visits) - _VISITS, "earlier visits"),
        (lesions - _LESIONS, "more lesions"),
        (lesions - pictured, "more lesions' pictures"),
    ]
    return [f"{count} {what}" for count, what in counts if count > 0]

"""The timeline as a report: the lesions' sizes as table and curves, their pictures, and the responses with reasons.

Bands from top to bottom, each as high as what it holds; the pictures get what is left. What does not fit is named in
the last lines, and so is what no font has letters for. What the newest visit says is never cut: where it is more than
the page holds, it goes on on the next.
"""

import datetime
import io
import textwrap
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from rano.confirmation import Verdict
from rano.remarks import thresholds
from results.context import NOTICE
from results.lettering import MISSING, plain, shortened
from results.numbers import NOTHING, cm3, signed_percent
from results.timeline import Timeline, TimelineLesion, TimelineVisit
from results.timeline_drawing import (
    draw_curves,
    draw_pictures,
    line_colour,
    milestones,
    picture_edge,
    pictures_height,
    short_names,
    visit_day,
)

_WIDTH, _HEIGHT = 8.27, 11.69  # A4; all lengths are inches
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.55, 0.55, 1.0, 0.45
_GAP = 0.2
_VISITS, _LESIONS = 8, 12
"""So many visits and lesions the table and the curves have."""
_WIDE = 6
"""Of so many visits a column is wide enough for a date in the letters of the others."""
_REASONS, _REASON_LINES = 3, 16
"""The responses of so many visits are given with their reasons, in so many lines, or more where the newest needs it."""
_FINDERS, _FINDER_LINES = 2, 3
"""So many networks, the last ones, say what they are, each in so many lines."""
_NOTES, _NOTE_LINES = 3, 2
_RESPONSE = "response"
_ROW, _LINE = 0.165, 0.135
_CURVES, _LEAST_CURVES = (1.8, 2.6), 0.9
_SMALLEST, _EDGE = 0.3, 1.22  # of a picture; there is none where there is less room
_LINE_LENGTH = 130


def timeline_pdf(
    timeline: Timeline, pictures: Mapping[int, bytes] | None = None, made_on: datetime.date | None = None
) -> bytes:
    """Draw a timeline on one A4 page; on more where the newest visit says more than that holds.

    Of the visits the newest are shown, of the lesions the first (``Timeline.in_order``). A report is sent on: of the
    patient it names the PatientID alone.

    Parameters
    ----------
    pictures
        What ``key_images`` has drawn, by ``LesionSize.finding``.
    made_on
        The day that stands on it; today unless said.
    """
    report = io.BytesIO()
    with PdfPages(report, metadata={"Title": "Brain metastases over time", "CreationDate": None}) as file:
        for page in timeline_pages(timeline, pictures or {}, made_on):
            file.savefig(page)
    return report.getvalue()


def timeline_pages(
    timeline: Timeline, pictures: Mapping[int, bytes], made_on: datetime.date | None = None
) -> list[Figure]:
    """Draw the pages as figures."""
    made_on = made_on or datetime.date.today()
    lesions = timeline.in_order
    page = _Page(timeline, made_on)
    finders = _finders(timeline)
    if finders:
        page.text(finders, color="0.4")
    rows = _table(timeline, lesions[:_LESIONS])
    if rows:
        _draw_table(page.band(_ROW * len(rows)), rows, lesions[:_LESIONS])
    for notes, least in ((_notes(timeline), _CURVES[0]), ([], _LEAST_CURVES)):
        said = [*_reasons(timeline, lesions, len(notes)), *notes]
        space = page.left - _LINE * len(said) - 3 * _GAP
        if space >= least:
            break  # else the notes give way: what is said of the newest visit is never cut
    else:  # there is another page, and so room for all of it
        notes = _notes(timeline)
        said, space = [*_reasons(timeline, lesions, len(notes)), *notes], _CURVES[0]
    noted = _NOTES if notes else 0
    pictured = 0
    if lesions:
        shown = milestones(timeline)
        curves = min(max(_CURVES[0], space - pictures_height(len(shown), _EDGE)), _CURVES[1], space)
        draw_curves(page.band(curves), timeline, lesions[:_LESIONS])
        edge = min(_EDGE, picture_edge(len(shown), space - curves))
        if edge >= _SMALLEST:
            band = page.band(pictures_height(len(shown), edge))
            pictured = draw_pictures(band, timeline, lesions[:_LESIONS], shown, pictures, edge=edge)
    pages, rest = [page], page.text(said)
    while rest:
        pages.append(_Page(timeline, made_on))
        rest = pages[-1].text(rest)
    for number, one in enumerate(pages, start=1):
        if len(pages) > 1:
            one.write(_HEIGHT - 0.3, f"Page {number} of {len(pages)}", fontsize=7, color="0.4", right=True)
    last = []
    left_out = _left_out(timeline, len(lesions), pictured, noted)
    if left_out:
        last.append(f"Not shown: {', '.join(left_out)}; see the timeline.")
    figures = [one.figure for one in pages]
    texts = [text for figure in figures for text in figure.findobj(Text) if isinstance(text, Text)]
    if any(MISSING in text.get_text() for text in texts):
        last.append(f"{MISSING} stands for a letter that no font of the server has; the follow-up page shows it.")
    page.write(_HEIGHT - 0.3, "\n".join(last), fontsize=7, color="0.4")
    return figures


class _Page:
    """A page with its head; the rest is given away in bands, from the top."""

    def __init__(self, timeline: Timeline, made_on: datetime.date) -> None:
        self.figure = Figure(figsize=(_WIDTH, _HEIGHT))
        FigureCanvasPdf(self.figure)
        self._used = _TOP
        self.write(0.3, "Brain metastases over time (RANO-BM)", fontsize=15)
        self.write(0.35, f"Report of {made_on}", fontsize=8, color="0.4", right=True)
        self.write(0.57, f"Patient {plain(timeline.patient_id or '(without PatientID)')}", fontsize=10)
        self.write(0.78, NOTICE, fontsize=8, weight="bold")

    @property
    def left(self) -> float:
        """What is left of the page's height."""
        return _HEIGHT - _BOTTOM - self._used

    def band(self, height: float) -> Axes:
        """Give the next band, without a frame."""
        bottom = _HEIGHT - self._used - height
        width = _WIDTH - _LEFT - _RIGHT
        self._used += height + _GAP
        axes = self.figure.add_axes((_LEFT / _WIDTH, bottom / _HEIGHT, width / _WIDTH, height / _HEIGHT))
        axes.set_axis_off()
        return axes

    def text(self, lines: Sequence[str], *, color: str = "black") -> Sequence[str]:
        """Write lines into the next band; give those that the page has no room for."""
        room = min(len(lines), int(self.left / _LINE))
        axes = self.band(_LINE * room)
        words = plain("\n".join(lines[:room]))
        axes.text(0, 1, words, fontsize=7, va="top", linespacing=1.3, color=color, transform=axes.transAxes)
        return lines[room:]

    def write(self, below: float, text: str, *, fontsize: float, right: bool = False, **style: Any) -> None:
        """Write a line, its top so far below the page's."""
        x, side = (1 - _RIGHT / _WIDTH, "right") if right else (_LEFT / _WIDTH, "left")
        self.figure.text(x, 1 - below / _HEIGHT, text, fontsize=fontsize, ha=side, va="top", **style)


def _finders(timeline: Timeline) -> list[str]:
    lines = []
    for one in timeline.finders[-_FINDERS:]:
        lines += _cut(_wrapped([f"Found by {one.name}. {one.statement}".rstrip()]), _FINDER_LINES)
    return lines


def _table(timeline: Timeline, lesions: Sequence[TimelineLesion]) -> list[list[str]]:
    """Give the rows of the table, the first with the columns' titles; none without visits."""
    first = max(0, len(timeline.visits) - _VISITS)
    visits = timeline.visits[first:]
    if not visits:
        return []
    rows = [["longest diameter, mm", "role", *map(visit_day, visits)]]
    names = zip(lesions, short_names(lesions), strict=True)
    rows += [[name, lesion.role.replace("_", "-"), *_sizes(lesion, first)] for lesion, name in names]
    rule = timeline.assessment.rules.target_rule
    unit, told = ("cm³", cm3) if rule == "volume" else ("mm", "{:.1f}".format)
    changes = [visit.response.change(rule) for visit in visits]
    sums = [NOTHING if c is None or c.total is None else told(c.total) for c in changes]
    baseline, nadir = zip(*(map(signed_percent, visit.growth(rule)) for visit in visits), strict=True)
    rows += [["sum of targets", unit, *sums], ["from baseline", "", *baseline], ["from nadir", "", *nadir]]
    images = [_answer(visit.response.radiographic) or visit.response.role for visit in visits]
    overall = [_answer(visit.response.overall) or NOTHING for visit in visits]
    return [*rows, *_entries(visits), [_RESPONSE, "images", *images], [_RESPONSE, "overall", *overall]]


def _answer(verdict: Verdict | None) -> str:
    return str(verdict.response).replace("no evidence of disease", "NED") if verdict else ""


def _entries(visits: Sequence[TimelineVisit]) -> list[list[str]]:
    """Give the rows of what people have entered; none of what was entered of no visit."""
    said: list[tuple[str, str, Callable[[TimelineVisit], str]]] = [
        ("steroids, as dexamethasone", "mg a day", _dose),
        ("clinical status", "", lambda v: v.clinical_status or ""),
        ("immunotherapy", "", _immunotherapy),
        ("judged by a reader", "lesions", lambda v: f"{len(v.judgements) or ''}"),
    ]
    rows = [(what, unit, [of(visit) for visit in visits]) for what, unit, of in said]
    return [[what, unit, *(cell or NOTHING for cell in cells)] for what, unit, cells in rows if any(cells)]


def _dose(visit: TimelineVisit) -> str:
    return "" if visit.corticosteroid_mg is None else f"{visit.corticosteroid_mg:g}"


def _immunotherapy(visit: TimelineVisit) -> str:
    if visit.response.immunotherapy:
        return "yes"
    return "" if visit.immunotherapy is None else "no"


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
        if row == 0 or rows[row][0] == _RESPONSE:
            cell.set_text_props(weight="bold", fontsize=6 if visits > _WIDE else 7)
        if column == 0:
            cell.set_text_props(ha="left")
            if 0 < row <= len(lesions):
                cell.get_text().set_color(line_colour(lesions[row - 1]))


def _sizes(lesion: TimelineLesion, first: int) -> list[str]:
    return [
        f"{size.longest_mm:.1f}{' ?' if size.ambiguous else ''}" if size else lesion.unmeasured(number) or NOTHING
        for number, size in enumerate(lesion.sizes)
        if number >= first
    ]


def _reasons(timeline: Timeline, lesions: Sequence[TimelineLesion], notes: int) -> list[str]:
    """Give the responses of the last visits and why, wrapped; of too many lines those of the earliest visits go.

    So many lines of ``notes`` stand below.
    """
    if not timeline.visits:
        return ["No visit was segmented yet."]
    best = timeline.assessment.best_overall
    in_all = timeline.no_response_yet or f"Best overall response: {best.response}. {best.reason} {best.doubt}".rstrip()
    first = [] if lesions else [timeline.none_counts()]
    rules = f"Sum of targets: {thresholds(timeline.assessment.rules)}"
    undated = [timeline.undated] if timeline.undated else []
    first = _wrapped([*first, f"Baseline: {timeline.assessment.reason}", rules, *_merged(lesions), *undated])
    *earlier, newest = timeline.placed[-_REASONS:]
    last = _wrapped([*_of_visit(newest), in_all])  # on whatever they say somebody may rely: they are never cut
    between = _wrapped([line for visit in earlier for line in _of_visit(visit)])
    left = max(_REASON_LINES - len(first) - len(last) - notes, 1)
    if len(between) > left:
        between = ["…", *between[len(between) - left + 1 :]]
    return [*first, *between, *last]


def _notes(timeline: Timeline) -> list[str]:
    """Give what people have noted of the last visits, wrapped."""
    return [line for visit in _noted(timeline)[-_NOTES:] for line in _cut(_wrapped([_note(visit)]), _NOTE_LINES)]


def _noted(timeline: Timeline) -> list[TimelineVisit]:
    return [visit for visit in timeline.visits if visit.note]


def _note(visit: TimelineVisit) -> str:
    return f"{visit_day(visit)}, note: {' '.join(visit.note.split())}"


def _merged(lesions: Sequence[TimelineLesion]) -> list[str]:
    """Say into what lesions have merged, for which the table has no room."""
    into = [f"{one.name} into {name}" for one in lesions for k in range(len(one.sizes)) if (name := one.holder(k))]
    return [f"Merged, and so without a size of its own: {'; '.join(dict.fromkeys(into))}."] if into else []


def _of_visit(visit: TimelineVisit) -> list[str]:
    images, overall = visit.response.radiographic, visit.response.overall
    verdicts = [("images and overall", images)] if images == overall else [("images", images), ("overall", overall)]
    return [
        *(f"{visit_day(visit)}, {kind}: {one.response}, {one.sentence}" for kind, one in verdicts if one is not None),
        *(f"{visit_day(visit)}: {note}" for note in visit.response.notes),
    ]


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, _fitting(line), subsequent_indent="    ")]


def _fitting(line: str) -> int:
    """Give how many characters fit on a line: those of Chinese, Japanese and Korean are twice as wide."""
    is_wide = any(unicodedata.east_asian_width(character) in "WF" for character in line)
    return _LINE_LENGTH // 2 if is_wide else _LINE_LENGTH


def _cut(lines: Sequence[str], most: int) -> list[str]:
    """Give the first lines; that there were more is seen at their end."""
    return [*lines] if len(lines) <= most else [*lines[: most - 1], shortened(f"{lines[most - 1]} …", _LINE_LENGTH)]


def _left_out(timeline: Timeline, lesions: int, pictured: int, noted: int) -> list[str]:
    counts = [
        (len(timeline.visits) - _VISITS, "earlier visits"),
        (lesions - _LESIONS, "more lesions"),
        (lesions - pictured, "more lesions' pictures"),
        (len(_noted(timeline)) - noted, "earlier notes" if noted else "notes"),
        (len(timeline.finders) - _FINDERS, "earlier networks"),
    ]
    return [f"{count} {what}" for count, what in counts if count > 0]

"""What the timeline's page draws: the lesions' growth as curves, and their pictures at the visits that decide."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from results.key_images import picture_of
from results.lettering import plain, shortened, shortened_in_the_middle
from results.palette import on_white
from results.timeline import Timeline, TimelineLesion, TimelineVisit

_TICKS = 4
_CAPTION, _GAP, _DATES = 0.17, 0.07, 0.62  # inches: lines above and below pictures, between them, to their left
_NAME_LENGTH = 20


def line_colour(lesion: TimelineLesion) -> tuple[float, float, float]:
    """Give the colour of a lesion on paper."""
    red, green, blue = (value / 255 for value in on_white(lesion.number))
    return red, green, blue


def visit_day(visit: TimelineVisit) -> str:
    """Give the date of a visit, as people read it."""
    return visit.date.isoformat() if visit.date else "no date"


def milestones(timeline: Timeline) -> dict[int, str]:
    """Give the visits that decide, 0-based, and what each is: the baseline, the nadir and the latest, by date.

    A visit without a date decides nothing, unless none has one.
    """
    place = {visit.study_instance_uid: number for number, visit in enumerate(timeline.visits)}
    last = len(timeline.placed) - 1
    if last == 0:
        return {0: "baseline" if timeline.assessment.baseline else ""}
    first = place.get(timeline.assessment.baseline or "", 0)
    change = timeline.visits[last].response.change(timeline.assessment.rules.target_rule)
    nadir = place.get(change.nadir_visit) if change else None
    roles = [(first, "baseline" if timeline.assessment.baseline else "first"), (nadir, "nadir"), (last, "latest")]
    shown: dict[int, str] = {}
    for number, role in roles:
        if number is not None:
            shown[number] = f"{shown[number]}, {role}" if number in shown else role
    return dict(sorted(shown.items()))


def draw_curves(band: Axes, timeline: Timeline, lesions: Sequence[TimelineLesion]) -> None:
    """Draw diameters and volumes over time; targets in full lines."""
    _curves(band.inset_axes((0.06, 0.14, 0.34, 0.86)), timeline, lesions, "longest_mm", "longest diameter, mm")
    axes = band.inset_axes((0.48, 0.14, 0.34, 0.86))
    _curves(axes, timeline, lesions, "volume_mm3", "volume, cm³", scale=1e-3)
    axes.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.02, 1.03), frameon=False)


def _curves(
    axes: Axes, timeline: Timeline, lesions: Sequence[TimelineLesion], what: str, label: str, *, scale: float = 1.0
) -> None:
    placed = [(number, visit.date) for number, visit in enumerate(timeline.visits) if visit.date is not None]
    days = [day.toordinal() for _, day in placed]
    for lesion, name in zip(lesions, short_names(lesions), strict=True):
        values = [
            getattr(size, what) * scale if size else math.nan if lesion.unmeasured(k) else 0.0
            for k, _ in placed
            for size in [lesion.sizes[k]]
        ]
        style = "-" if lesion.role == "target" else "--"
        axes.plot(days, values, style, color=line_colour(lesion), marker="o", markersize=3, linewidth=1, label=name)
    every = -(-len(placed) // _TICKS) or 1
    axes.set_xticks(days[::every], [day.isoformat() for _, day in placed[::every]])
    axes.set_ylabel(label, fontsize=7)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.08)
    axes.tick_params(labelsize=6)
    axes.grid(linewidth=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def pictures_height(rows: int, edge: float) -> float:
    """Give the height in inches of so many rows of pictures with their captions."""
    return _CAPTION + rows * (edge + _CAPTION)


def picture_edge(rows: int, height: float) -> float:
    """Give the edge of the pictures when so many rows of them are this high."""
    return (height - _CAPTION) / rows - _CAPTION


def draw_pictures(
    band: Axes,
    timeline: Timeline,
    lesions: Sequence[TimelineLesion],
    shown: Mapping[int, str],
    pictures: Mapping[int, bytes],
    *,
    edge: float,
) -> int:
    """Draw lesions side by side, as many as fit, one visit below the other; give how many.

    Parameters
    ----------
    shown
        Of ``milestones``.
    pictures
        PNG by ``LesionSize.finding``.
    edge
        Of a picture, inches.
    """
    whole, inch = band.get_window_extent(), band.get_figure(root=True).dpi  # type: ignore[union-attr]
    width, height = whole.width / inch, whole.height / inch
    columns = min(len(lesions), int((width - _DATES + _GAP) // (edge + _GAP)))
    names = short_names(lesions)
    for row, (number, role) in enumerate(shown.items()):
        bottom = height - (row + 1) * (edge + _CAPTION)
        words = f"{visit_day(timeline.visits[number])}\n" + role.replace(", ", ",\n")
        band.text(0, (bottom + edge / 2) / height, words, fontsize=7, va="center", transform=band.transAxes)
        for column, lesion in enumerate(lesions[:columns]):
            left = _DATES + column * (edge + _GAP)
            axes = band.inset_axes((left / width, bottom / height, edge / width, edge / height))
            _picture(axes, lesion, number, pictures)
            if row == 0:
                axes.set_title(names[column], fontsize=7, weight="bold", color=line_colour(lesion), pad=3)
    return columns


def _picture(axes: Axes, lesion: TimelineLesion, visit: int, pictures: Mapping[int, bytes]) -> None:
    """Draw a lesion at one visit, and below how large it is; grey where there is nothing to see."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("0.95")
    axes.spines[:].set_color("0.8")
    size = lesion.sizes[visit]
    words = lesion.unmeasured(visit) or "not there"
    if size is not None:
        words = f"{size.longest_mm:.1f} x {size.perpendicular_mm:.1f} mm{' ?' if size.ambiguous else ''}"
        if size.finding in pictures:
            axes.imshow(picture_of(pictures[size.finding], lesion.number))
    axes.set_xlabel(words, fontsize=6, labelpad=1.5)


def short_names(lesions: Sequence[TimelineLesion]) -> list[str]:
    """Give the names of lesions as far as there is room for them.

    Those that would read alike are cut in the middle, and those that still do are numbered, as their colours are.
    """
    names = [shortened(lesion.name, _NAME_LENGTH) for lesion in lesions]
    for cut in (_ends, _numbered):
        count = Counter(names)
        names = [cut(one) if count[name] > 1 else name for one, name in zip(lesions, names, strict=True)]
    return [plain(name) for name in names]


def _ends(lesion: TimelineLesion) -> str:
    return shortened_in_the_middle(lesion.name, _NAME_LENGTH)


def _numbered(lesion: TimelineLesion) -> str:
    number = f" #{lesion.number}"
    return shortened(lesion.name, _NAME_LENGTH - len(number)) + number

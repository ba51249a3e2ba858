"""The charts of the follow-up page as Plotly figures: what is drawn is decided here, the browser only draws it."""

import html
from typing import Any

from results.palette import on_white
from results.timeline import Timeline, TimelineLesion, TimelineVisit

Figure = dict[str, Any]

NAMED = 12
"""How many lesions a chart can name; the names of more leave it no room."""
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "hexagon", "cross")
_BANDS = {"PR": "rgba(21,128,61,.14)", "SD": "rgba(71,85,105,.10)", "PD": "rgba(185,28,28,.13)"}
_TICKS = 12


def sum_chart(timeline: Timeline) -> Figure | None:
    """Draw what decides of the targets, the sum of their longest diameters or of their volumes (cm3), with its limits.

    None before two dated visits have one.
    """
    rules = timeline.assessment.rules
    fall, rise = rules.percents(rules.target_rule)
    of_volumes = rules.target_rule == "volume"
    scale, unit, what = (1e-3, "cm³", "volumes") if of_volumes else (1.0, "mm", "diameters")
    hover = f"%{{y:.{3 if of_volumes else 1}f}} {unit}"
    placed = [
        (visit, change)
        for visit in timeline.visits
        if visit.date and (change := visit.response.change(rules.target_rule))
    ]
    if len(placed) < 2:
        return None
    days = [_day(visit) for visit, _ in placed]
    # Not the same at every visit: where a target has merged with another lesion, sums are those of both.
    baselines = [change.baseline * scale for _, change in placed]
    nadirs = [change.nadir * scale for _, change in placed]
    totals = [None if change.total is None else change.total * scale for _, change in placed]
    falls = [baseline * (1 - fall / 100) for baseline in baselines]
    rises = [nadir * (1 + rise / 100) for nadir in nadirs]
    top = 1.15 * max([*baselines, *rises, *(total or 0 for total in totals)])
    edges = {"PR": [min(pair) for pair in zip(falls, rises, strict=True)], "SD": rises, "PD": [top] * len(placed)}
    traces: list[dict[str, Any]] = [
        {
            "x": days, "y": edge, "name": f"{response} range", "mode": "lines", "hoverinfo": "skip",
            "showlegend": False,
            "line": {"width": 0, "shape": "vh"}, "fill": "tonexty" if number else "tozeroy",
            "fillcolor": _BANDS[response],
        }
        for number, (response, edge) in enumerate(edges.items())
    ]  # fmt: skip
    traces += [
        _limit(days, baselines, "baseline", "#475569", "dot", hover),
        _limit(days, falls, f"−{fall:g} % of baseline", "#15803d", "dash", hover),
        _limit(days, nadirs, "nadir before the visit", "#7e22ce", "dot", hover),
        _limit(days, rises, f"+{rise:g} % of nadir", "#b91c1c", "dash", hover),
        {
            "x": days, "y": totals, "name": f"sum of {what}",
            "mode": "lines+markers", "line": {"color": "#111", "width": 3}, "marker": {"size": 10},
            "hovertemplate": f"{hover}<extra>sum</extra>", "cliponaxis": False,
        },
    ]  # fmt: skip
    figure = _figure(traces, f"sum, {unit}", days)
    figure["layout"]["yaxis"]["range"] = [0, top]
    figure["layout"]["annotations"] = [
        {
            "x": _day(visit), "y": total or 0, "text": _answer(visit), "showarrow": False, "yshift": 18,
            "bgcolor": "rgba(255,255,255,.85)", "font": {"size": 14},
        }
        for (visit, _), total in zip(placed, totals, strict=True)
    ]  # fmt: skip
    return figure


def curves(timeline: Timeline, lesions: list[TimelineLesion], what: str) -> Figure | None:
    """Draw each lesion: ``what`` is ``"longest_mm"``, or ``"volume_mm3"`` (in cm3). Gone is 0, not measured a gap."""
    scale, unit = (1.0, "mm") if what == "longest_mm" else (1e-3, "cm³")
    label = "longest diameter, mm" if what == "longest_mm" else "volume, cm³"
    placed = [(number, visit) for number, visit in enumerate(timeline.visits) if visit.date]
    if len(placed) < 2 or not lesions:
        return None
    days = [_day(visit) for _, visit in placed]
    traces = []
    for lesion in lesions:
        sizes = [
            getattr(size, what) * scale if size else None if lesion.unmeasured(k) else 0
            for k, _ in placed
            for size in [lesion.sizes[k]]
        ]
        traces.append(
            {
                "x": days, "y": sizes, "name": _text(lesion.name),
                "mode": "lines+markers", "line": _line(lesion), "marker": _marker(lesion),
                "hovertemplate": f"%{{y:.{2 if unit == 'mm' else 3}f}} {unit}",
            }
        )  # fmt: skip
    return _named(_figure(traces, label, days))


def bars(lesions: list[TimelineLesion], visit: int) -> Figure | None:
    """Draw the diameters of one visit, side by side."""
    shown = [(_text(lesion.name), size) for lesion in lesions if (size := lesion.sizes[visit])]
    if not shown:
        return None
    names = [name for name, _ in shown]
    traces = [
        {
            "type": "bar", "x": names, "y": [getattr(size, what) for _, size in shown], "name": name,
            "marker": {"color": colour}, "hovertemplate": "%{y:.1f} mm",
        }
        for what, name, colour in (
            ("longest_mm", "longest diameter", "#1d4ed8"), ("perpendicular_mm", "perpendicular", "#93c5fd"),
        )
    ]  # fmt: skip
    figure = _figure(traces, "mm")
    figure["layout"]["xaxis"]["type"] = "category"  # a lesion called "1" has no place on a scale
    return figure


def scatter(lesions: list[TimelineLesion], visit: int) -> Figure | None:
    """Draw volume against longest diameter of one visit: what lies low for its diameter is flat or ragged."""
    shown = [(lesion, size) for lesion in lesions if (size := lesion.sizes[visit])]
    if not shown:
        return None
    traces = [
        {
            "x": [size.longest_mm], "y": [size.volume_mm3 / 1000], "name": _text(lesion.name), "mode": "markers",
            "marker": _marker(lesion) | {"size": 12}, "hovertemplate": "%{x:.1f} mm, %{y:.3f} cm³",
        }
        for lesion, size in shown
    ]  # fmt: skip
    figure = _figure(traces, "volume, cm³")
    figure["layout"]["hovermode"] = "closest"
    figure["layout"]["xaxis"] |= {"title": {"text": "longest diameter, mm"}, "rangemode": "tozero"}
    return _named(figure)


def _text(name: str) -> str:
    """Have a lesion's name stand as it was entered: Plotly makes links and bold letters of what looks like them."""
    return html.escape(name, quote=False)


def _named(figure: Figure) -> Figure:
    """Let the lesions of a chart be named as far as there is room; what has no name there says it at the pointer."""
    if len(figure["data"]) > NAMED:
        figure["layout"] |= {"showlegend": False, "hovermode": "closest"}
    return figure


def _figure(traces: list[dict[str, Any]], y_title: str, days: list[str] | None = None) -> Figure:
    x_axis: dict[str, Any] = {"gridcolor": "#e2e8f0", "automargin": True}
    if days is not None:
        x_axis |= {"type": "date", "hoverformat": "%Y-%m-%d", "tickformat": "%Y-%m-%d", "tickangle": -35}
        x_axis |= {"tickvals": days} if len(days) <= _TICKS else {}
    return {
        "data": traces,
        "layout": {
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#111"},
            "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
            "paper_bgcolor": "#fff",
            "plot_bgcolor": "#fff",
            "hovermode": "x unified",
            "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
            "xaxis": x_axis,
            "yaxis": {
                "title": {"text": y_title},
                "rangemode": "tozero",
                "gridcolor": "#e2e8f0",
                "zerolinecolor": "#94a3b8",
            },
        },
    }


def _limit(days: list[str], values: list[float], name: str, colour: str, dash: str, hover: str) -> dict[str, Any]:
    line = {"color": colour, "width": 1.5, "dash": dash, "shape": "vh"}
    return {"x": days, "y": values, "name": name, "mode": "lines", "line": line, "hovertemplate": hover}


def _line(lesion: TimelineLesion) -> dict[str, Any]:
    dash = "solid" if lesion.role == "target" else "dash"
    return {"color": colour_of(lesion), "width": 2, "dash": dash}


def _marker(lesion: TimelineLesion) -> dict[str, Any]:
    return {"color": colour_of(lesion), "symbol": _SYMBOLS[(lesion.number - 1) % len(_SYMBOLS)], "size": 8}


def colour_of(lesion: TimelineLesion) -> str:
    """Give the colour of a lesion on the page, as style sheets have it."""
    return "#{:02x}{:02x}{:02x}".format(*on_white(lesion.number))


def _answer(visit: TimelineVisit) -> str:
    verdict = visit.response.radiographic
    return str(verdict.response) if verdict else visit.response.role


def _day(visit: TimelineVisit) -> str:
    assert visit.date is not None, "only visits with a date have a place on the axis"
    return visit.date.isoformat()

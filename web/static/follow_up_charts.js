// Draws the charts of the follow-up page; the page is complete without them.

const PAPER = { width: 680, height: 285 }; // so that a chart and its table, or two charts, leave no half-empty page
const figures = JSON.parse(document.getElementById("figures").textContent);
const charts = [...document.querySelectorAll("[data-figure]")];

function draw(element) {
  const { data, layout } = figures[element.id];
  Plotly.newPlot(element, data, layout, { responsive: true, displayModeBar: false });
}

// Paper has its own size, whatever the window's is.
function onPaper(paper) {
  for (const element of charts) {
    const width = element.parentElement.className === "pair" ? PAPER.width / 2 - 10 : PAPER.width;
    Plotly.relayout(element, paper ? { width, height: PAPER.height, autosize: false } : { width: null, height: null, autosize: true });
  }
}

charts.forEach(draw);
window.addEventListener("beforeprint", () => onPaper(true));
window.addEventListener("afterprint", () => onPaper(false));

// What the follow-up page does besides its charts and entries.

// A picture that is not there (segmented before pictures were kept) leaves no hole.
function hideMissingPictures() {
  for (const image of document.querySelectorAll("[data-picture] img")) {
    image.addEventListener("error", () => { image.closest("[data-picture]").hidden = true; });
    image.src = image.dataset.src;
  }
}

// A long course is opened where it is now.
function showNewest() {
  for (const table of document.querySelectorAll("[data-newest]")) {
    if (table.dataset.newest === "right") table.scrollLeft = table.scrollWidth;
    else table.scrollTop = table.scrollHeight;
  }
}

function offerPrint() {
  const print = document.querySelector("[data-print]");
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}

hideMissingPictures();
showNewest();
offerPrint();

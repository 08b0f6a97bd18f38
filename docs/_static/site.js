// A box that scrolls sideways is a stop for the keyboard and has a name; one that does not scroll is neither.
const boxes = [...document.querySelectorAll("article :is(.table-wrapper, pre, .formula)")];
const named = new Map(boxes.map(box => [box, box.matches("pre") ? "code" : box.matches(".formula") ? "formula" : "table"]));
function mark() {
  const scrolls = boxes.map(box => box.scrollWidth > box.clientWidth + 1);  // all are measured before one is changed
  boxes.forEach((box, i) => {
    if (scrolls[i] == box.hasAttribute("tabindex")) return;
    for (const [name, value] of [["tabindex", 0], ["role", "group"], ["aria-label", `${named.get(box)}, scrolls sideways`]])
      scrolls[i] ? box.setAttribute(name, value) : box.removeAttribute(name);
  });
}
mark();
new ResizeObserver(mark).observe(document.querySelector("article"));

// On narrow screens the drawers open by labels, which only a pointer reaches: their icons become buttons.
for (const [drawer, name] of [["navigation", "Site navigation"], ["toc", "On this page"]])
  for (const icon of document.querySelectorAll(`label[for="__${drawer}"] .icon`)) {
    Object.assign(icon, {tabIndex: 0, role: "button", ariaLabel: name});
    icon.addEventListener("keydown", event => {
      if (event.key != "Enter" && event.key != " ") return;
      event.preventDefault();
      icon.click();
    });
  }

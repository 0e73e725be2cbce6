"""Style and script of the page: light, dark and print; tables that sort; nothing from outside."""

__docformat__ = "google"
__all__ = ["SCRIPT", "STYLE"]

_LIGHT = """color-scheme: light; --paper: #fff; --ink: #1c2024; --soft: #5b636c; --rule: #dde1e6; --faint: #f5f6f8;
  --own: #0b62b8; --other: #b9c0c8; --failed: #b3410d; --better: #d5e6fa; --worse: #fbe3d2; --equal: #dff0e4;
  --caution: #fff3cf;"""
_DARK = """color-scheme: dark; --paper: #14171b; --ink: #e7eaee; --soft: #a2abb5; --rule: #31373f; --faint: #1d2126;
  --own: #74b6ff; --other: #59626d; --failed: #ff9a5c; --better: #173e66; --worse: #5c3216; --equal: #1d4630;
  --caution: #4a3b0c;"""

STYLE = (
    f":root {{ {_LIGHT} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}\n"
    f"@media print {{ :root {{ {_LIGHT} }} }}"
    + """
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; margin: 0 auto; max-width: 62rem;
  padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.05rem; font-weight: 600; color: var(--soft); margin: 0 0 .6rem; }
h2 { font-size: 1.25rem; line-height: 1.25; margin: 3rem 0 .4rem; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .3rem; }
p { margin: .4rem 0; max-width: 46rem; } a { color: var(--own); }
.verdict, .power { max-width: 54rem; text-wrap: pretty; }
.verdict { font-size: 1.45rem; line-height: 1.35; font-weight: 600; margin: 0 0 .3rem; }
.power { font-size: 1.1rem; margin: 0 0 .6rem; }
.about, figcaption, .note { color: var(--soft); font-size: .92rem; }
.caution { background: var(--caution); border-radius: .4rem; padding: .4rem .7rem; font-size: .92rem; }
figure { margin: .8rem 0 0; } figcaption { margin-top: .5rem; max-width: 46rem; }
svg { display: block; overflow: visible; } svg svg { overflow: hidden; }
.grid { stroke: var(--rule); stroke-width: 1; }
.tick { fill: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }
.dot { fill: var(--own); fill-opacity: .75; } .ring { fill: var(--paper); stroke: var(--soft); stroke-width: 1.2; }
.band { fill: var(--own); fill-opacity: .2; } .mean { stroke: var(--ink); stroke-width: 2; }
.failed { fill: var(--failed); font-size: 17px; font-weight: 700; }
path { fill: none; vector-effect: non-scaling-stroke; } path.band { fill: var(--own); }
.own { stroke: var(--own); stroke-width: 2; } .other { stroke: var(--other); stroke-width: 1; }
.chosen { stroke: var(--own); stroke-width: 1.2; stroke-dasharray: 3 3; }
.strips { display: grid; grid-template-columns: max-content 1fr max-content; column-gap: 1.2rem; align-items: center; }
.name { font-weight: 600; } .name small { font-weight: 400; color: var(--soft); margin-left: .3rem; }
.value { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
.row, .axis { display: contents; } .axis .strip { grid-column: 2; } .unit { grid-column: 2; }
.unit { color: var(--soft); font-size: .82rem; text-align: center; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .9rem 1.4rem; }
.panel { break-inside: avoid; } .plot { padding: .3rem .3rem 1.4rem 2.3rem; }
.head { display: flex; justify-content: space-between; gap: .6rem; padding-left: 2.3rem; }
.head b, .name, .verdict { overflow-wrap: anywhere; min-width: 0; } .head span { color: var(--soft); }
.head span, .axes { font-size: .85rem; } .axes { color: var(--soft); margin: .2rem 0 .6rem; }
.wide { overflow-x: auto; margin: .5rem 0; } .caption { margin-top: 1.6rem; font-weight: 600; font-size: .95rem; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; font-size: .95rem; }
th, td { padding: .32rem .75rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { font-weight: 600; vertical-align: bottom; } thead th { white-space: normal; min-width: 5.2rem; line-height: 1.25; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); z-index: 1;
  min-width: 0; padding-left: 0; font-weight: 600; }
td.text, th.text { text-align: left; }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--own); outline-offset: 2px; }
th button::after { content: "\\2195"; color: var(--other); margin-left: .25rem; font-weight: 400; }
th[aria-sort=ascending] button::after { content: "\\2191"; color: var(--own); }
th[aria-sort=descending] button::after { content: "\\2193"; color: var(--own); }
.matrix td, .matrix thead th { text-align: center; padding: .35rem .5rem; border: 2px solid var(--paper);
  line-height: 1.25; min-width: 6.2rem; }
.matrix td { background: var(--faint); border-radius: .5rem; }
.matrix td b { display: block; font-weight: 600; }
.matrix td small { display: block; color: var(--soft); white-space: normal; max-width: 5rem; margin: 0 auto; }
.matrix td.better { background: var(--better); } .matrix td.worse { background: var(--worse); }
.matrix td.equal { background: var(--equal); } .matrix td.self { background: none; color: var(--soft); }
.matrix th:first-child { border: 0; vertical-align: middle; white-space: normal; overflow-wrap: anywhere; }
.matrix th { max-width: 12rem; overflow-wrap: anywhere; }
.better small, .worse small, .equal small { color: var(--ink); }
dl { display: grid; grid-template-columns: 11rem 1fr; gap: .5rem 1.2rem; font-size: .92rem; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; max-width: 46rem; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .92em; }
code.option { white-space: nowrap; }
@media (max-width: 40rem) {
  body { padding: 1rem .75rem 3rem; } .verdict { font-size: 1.2rem; } .power { font-size: 1rem; }
  .strips, .axis { display: block; } .row { display: grid; grid-template: "name value" "strip strip" / 1fr auto; }
  .row .name { grid-area: name; } .row .value { grid-area: value; } .row .strip { grid-area: strip; }
  .panels { grid-template-columns: 1fr 1fr; gap: .6rem .8rem; } .plot { padding-left: 1.9rem; }
  .head { padding-left: 0; font-size: .9rem; } .tick { font-size: 10.5px; }
  th, td { padding: .3rem .5rem; } table { font-size: .88rem; }
  .matrix { font-size: .64rem; } .matrix td b, .matrix thead th { font-weight: 500; }
  .matrix td, .matrix thead th { min-width: 0; padding: .25rem 1px; border-width: 1px; }
  .matrix th:first-child { padding-right: .3rem; }
  .matrix tr > :nth-child(2), .matrix tbody tr:last-child { display: none; }
  .matrix td.below, .matrix td.self { visibility: hidden; }
  dl { display: block; } dd { margin-bottom: .7rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; } h2 { margin-top: 1.6rem; }
  h2, .axes, .caption { break-after: avoid; } .axes, .strips, .matrix, dd { break-inside: avoid; }
  figcaption, .note { break-before: avoid; } .matrix { font-size: 7.5pt; }
  .matrix td, .matrix thead th { padding: .15rem .3rem; min-width: 0; }
  .wide { overflow: visible; } table { font-size: 8.5pt; } th button::after { content: ""; }
  .panels { grid-template-columns: repeat(3, 1fr); } tr { break-inside: avoid; } a { color: inherit; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
)
"""The style sheet."""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const value = (row, i) => {
    const text = row.cells[i].textContent.trim().replace("\\u2212", "-").replaceAll(",", "");
    if (text.startsWith("never") || text === "no number") return Infinity;
    const number = parseFloat(text);
    return Number.isNaN(number) ? text.toLowerCase() : number;
  };
  table.querySelectorAll("thead th").forEach((head, i) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th[aria-sort]").forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a, i), value(b, i)];
        return typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0) : typeof x === "number" ? -1 : 1;
      });
      body.append(...(down ? rows.reverse() : rows));
    });
  });
}
"""
"""What makes the tables sort; without it they are plain tables."""

"""The look of a report's page: light and dark, wide and narrow, on screen and on paper."""

CSS = """\
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5c6670; --paper: #ffffff;
  --line: #d9dee3; --tint: #f4f6f8; --link: #0b5cad; --good: #0a6b4a; --good-tint: #e1f3eb;
  --bad: #a33a00; --bad-tint: #fbe9df; --unsure: #7a5600; --unsure-tint: #fcf3da; }
@media screen and (prefers-color-scheme: dark) { :root {
  --ink: #e4e8ec; --soft: #9aa5b0; --paper: #14181c;
  --line: #343c44; --tint: #1c2228; --link: #7db8f5; --good: #6fd3a8; --good-tint: #15322a;
  --bad: #f5a27a; --bad-tint: #3a2218; --unsure: #e8c26a; --unsure-tint: #332a14; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 4rem; }
h1 { font-size: clamp(1.4rem, 4vw, 2rem); line-height: 1.2; margin: .5rem 0 1rem;
  text-wrap: balance; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
p, li { max-width: 62rem; overflow-wrap: anywhere; }
p { margin: .6rem 0; }
ul { padding-left: 1.2rem; }
li { margin: .3rem 0; }
a { color: var(--link); text-decoration-thickness: 1px; text-underline-offset: 2px; }
.quiet { color: var(--soft); }
p.quiet { font-size: .92rem; }
.notice { padding: .6rem .9rem; border-left: 4px solid var(--line); background: var(--tint);
  border-radius: 4px; }
.notice.unsure { border-color: var(--unsure); background: var(--unsure-tint); color: inherit; }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .95rem; font-variant-numeric: tabular-nums; }
table.cards:not(.numbers) { width: 100%; }
th, td { padding: .4rem .9rem .4rem .4rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; font-size: .85rem; vertical-align: bottom; }
tbody th { font-weight: 600; }
.number { text-align: right; }
.number { white-space: nowrap; }
tbody th[scope=row] { min-width: 6rem; }
td a span { text-decoration: underline; text-decoration-thickness: 1px; }
tr.emphasis th, tr.emphasis td { background: var(--tint); border-top: 2px solid var(--line); }
tr.emphasis th { font-style: italic; font-weight: 500; }
tr:target { outline: 2px solid var(--link); outline-offset: -2px; }
td .good, td .bad, td .unsure { display: inline-block; padding: 0 .45rem; border-radius: 4px; }
td .good { color: var(--good); background: var(--good-tint); font-weight: 600; }
td .bad { color: var(--bad); background: var(--bad-tint); font-weight: 600; }
td .unsure { color: var(--unsure); background: var(--unsure-tint); }
.code { font: .78rem/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
td .code { white-space: nowrap; }
.figures { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
figure { margin: 0; max-width: 44rem; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .88rem; }
@media screen and (max-width: 76rem) {
  table { font-size: .9rem; }
  th, td { padding: .4rem .45rem .4rem .25rem; }
}
@media screen and (max-width: 46rem) {
  table.cards, .cards tbody, .cards tr, .cards th, .cards td { display: block; }
  .cards thead { display: none; }
  .cards tr { border: 1px solid var(--line); border-radius: 6px; padding: .4rem .7rem;
    margin-bottom: .8rem; }
  .cards th, .cards td { border: 0; padding: .2rem 0; }
  .cards td::before { content: attr(data-label); display: block; color: var(--soft);
    font-size: .78rem; flex: none; }
  .cards td.number { display: flex; justify-content: space-between; align-items: flex-start;
    gap: 1rem; white-space: normal; }
  .cards.numbers tr:not(.emphasis) th::before { content: attr(data-label) " "; color: var(--soft);
    font-weight: 400; font-style: normal; }
  .cards tr.emphasis { background: var(--tint); }
  .cards tr.emphasis th, .cards tr.emphasis td { border: 0; background: none; }
  td .code { white-space: normal; overflow-wrap: anywhere; }
  table:not(.cards) { font-size: .88rem; }
  th, td { padding-right: .6rem; }
}
@page { margin: 15mm; }
@media print {
  html { font-size: 9.5pt; }
  body { font-size: 1rem; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; margin-top: 1.5rem; }
  tr, figure { break-inside: avoid; }
  table { font-size: .9rem; }
  th, td { padding: .25rem .5rem .25rem .2rem; }
  tbody th[scope=row] { min-width: 0; }
  .scroll { overflow: visible; }
  .number { white-space: normal; }
  .code { font-size: .68rem; }
  td .code { white-space: normal; overflow-wrap: break-word; }
  .notice, td .good, td .bad, td .unsure { print-color-adjust: exact; }
  a { color: inherit; }
  .figures { grid-template-columns: 1fr 1fr; }
}
"""
